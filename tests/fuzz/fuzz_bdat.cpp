// Messages in chunks (RFC 3030), with sizes that fit: what random octets alone hardly ever find.
//
// Input: an octet of switches (1 pipelined, 2 the engine's limit on sizes, 4 a wrong size at the end), one
// that says how the session is cut, then chunks: an octet, its low seven bits the size of what follows, the
// high bit for the last chunk of a message.
//
// Oracles: what is stored is what the chunks held, octet for octet; a "250 message processed" for each such
// message and for no other; cut in any way the same happens.
#include "smtp/server_engine.hpp"
#include "support.hpp"

#include "smtp/server_recorder_test.hpp"

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace {

using smtp::testing::server_recorder;

struct session {
    std::string said = "EHLO x\r\n";
    std::vector<std::string> messages;
    bool limited = false;
    std::size_t piece = 1;

    session(const std::uint8_t* data, std::size_t size) {
        const unsigned switches = data[0];
        limited = (switches & 2) != 0;
        piece = data[1] % 16U + 1;
        std::string_view rest(reinterpret_cast<const char*>(data) + 2, size - 2);
        std::string message;
        bool begun = false;
        while (!rest.empty()) {
            const auto head = static_cast<unsigned char>(rest.front());
            rest.remove_prefix(1);
            const std::string_view chunk = rest.substr(0, head & 0x7fU);
            rest.remove_prefix(chunk.size());
            const bool last = (head & 0x80U) != 0;
            if (chunk.empty() && !last) // refused
                continue;
            if (!begun)
                said += "MAIL FROM:<a@b> BODY=BINARYMIME\r\nRCPT TO:<c@d>\r\n";
            begun = true;
            message += chunk;
            said += "BDAT " + std::to_string(chunk.size()) + (last ? " LAST\r\n" : "\r\n");
            said += chunk;
            if (last) {
                messages.push_back(std::exchange(message, {}));
                begun = false;
            }
        }
        if ((switches & 4) != 0)
            said += "BDAT 99999999999999999999 LAST\r\n";
        said += "QUIT\r\n";
    }
};

std::unique_ptr<server_recorder> play(const session& s, std::size_t piece) {
    smtp::server_settings settings;
    settings.domain = "test.example.com";
    settings.chunking = true;
    settings.anonymous_content = true; // no Received line
    settings.size_limit = s.limited ? 200 : 0;
    settings.max_idle_commands = 1'000'000;
    auto r = std::make_unique<server_recorder>(settings, smtp::peer_info{"192.0.2.1", false});
    in_pieces(s.said, piece, [&r](std::string_view octets) { r->feed(octets); });
    return r;
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size < 2)
        return 0;
    const session s(data, size);
    const auto whole = play(s, s.said.size());
    const auto accepted =
        static_cast<std::size_t>(std::ranges::count(whole->record, "S: 250 message processed"));
    require(whole->contents.size() == accepted, "accepted and stored are not the same");
    if (s.limited) {
        for (const std::string& content : whole->contents)
            require(content.size() <= 200 && std::ranges::count(s.messages, content) != 0,
                    "stored what was not sent, or too much");
    } else {
        require(whole->contents == s.messages, "another content than was sent");
    }
    require(whole->closed, "QUIT was taken for content");
    const auto cut = play(s, s.piece);
    require(cut->record == whole->record && cut->contents == whole->contents, "depends on how it is cut");
    return 0;
}
