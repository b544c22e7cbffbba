// The exchange with a SOCKS server.
//
// The input as a reply: once decided it stays decided however much more comes, it is decided after eight
// octets, and only "0, 0x5A and six more" is a grant. The input as a port and a host name: what is sent can
// be taken apart again, and nothing but the last octet ends the name.
#include "net/socks.hpp"
#include "support.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace {

void as_reply(std::string_view text) {
    auto before = net::socks_answer::incomplete;
    for (std::size_t n = 0; n <= std::min<std::size_t>(text.size(), 64); ++n) {
        auto now = net::read_socks_reply(text.substr(0, n));
        require(before == net::socks_answer::incomplete || now == before);
        require(now != net::socks_answer::incomplete || n < net::socks_reply_size);
        bool grant = n >= net::socks_reply_size && text[0] == 0 && text[1] == 0x5a;
        require(grant == (now == net::socks_answer::granted));
        before = now;
    }
}

void as_target(std::string_view text) {
    if (text.size() < 2)
        return;
    auto high = static_cast<unsigned char>(text[0]), low = static_cast<unsigned char>(text[1]);
    auto port = static_cast<std::uint16_t>(high * 256 + low);
    std::string_view host = text.substr(2);
    auto request = net::socks_request(host, port);
    bool usable = !host.empty() && host.size() <= 255 && host.find('\0') == host.npos;
    require(request.has_value() == usable);
    if (!usable)
        return;
    std::string_view sent = *request;
    require(sent.starts_with(std::string_view("\x04\x01", 2)));
    require(sent.substr(2, 2) == text.substr(0, 2));
    require(sent.substr(4, 5) == std::string_view("\0\0\0\x01\0", 5));
    require(sent.substr(9, host.size()) == host);
    require(sent.find('\0', 9) == sent.size() - 1);
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    std::string_view text(reinterpret_cast<const char*>(data), size);
    as_reply(text);
    as_target(text);
    return 0;
}
