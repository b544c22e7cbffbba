// Both back-ends, as servers and as clients, against octets that are not what they should be.
//
// Input: a first octet of choices (bit 0: library, bit 1: after a handshake, bit 2: the client), then what
// the peer sends. After a handshake the peer is OpenSSL whose records stand in front.
//
// Oracles: no crash; an engine that has failed stays failed and writes nothing in clear; what is read behind
// good records is refused rather than taken for plain text, however the octets are cut.
#include "support.hpp"
#include "tls/context.hpp"

#include "tls/certificates_test.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <string_view>

namespace {

class no_log : public base::log_sink {
public:
    bool wants(base::severity, base::detail) const noexcept override { return false; }
    void write(base::severity, const base::log_context&, std::string_view) override {}
};

no_log silence;

std::unique_ptr<tls::context> make(tls::role side, tls::library which) {
    static const std::string file = [] {
        const std::string name = std::filesystem::temp_directory_path() / "fuzz_tls_engine.pem";
        const auto own = tls::testing::authority().issue("localhost");
        std::ofstream(name) << own.key << own.certificate;
        return name;
    }();
    tls::settings s;
    s.side = side;
    s.library.which = which;
    if (side == tls::role::server)
        s.certificate_files = {file};
    auto made = tls::make_context(std::move(s), base::logger(silence));
    require(made.has_value());
    return std::move(*made);
}

void shake_hands(tls::engine& client, tls::engine& server) {
    bool client_done = false, server_done = false;
    while (!client_done || !server_done) {
        client_done = client_done || client.handshake().value();
        server.feed(client.take_output());
        server_done = server_done || server.handshake().value();
        client.feed(server.take_output());
    }
}

// What is read, and whether it ended in an error.
std::pair<std::string, bool> read_all(tls::engine& from) {
    std::array<char, 300> buffer;
    std::string got;
    for (;;) {
        auto n = from.read(buffer);
        if (n.has_error())
            return {got, true};
        if (*n == 0)
            return {got, false};
        got.append(buffer.data(), *n);
    }
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
    if (size == 0)
        return 0;
    static const std::unique_ptr<tls::context> servers[] = {make(tls::role::server, tls::library::openssl),
                                                            make(tls::role::server, tls::library::mbedtls)};
    static const std::unique_ptr<tls::context> clients[] = {make(tls::role::client, tls::library::openssl),
                                                            make(tls::role::client, tls::library::mbedtls)};
    std::string_view input(reinterpret_cast<const char*>(bytes) + 1, size - 1);
    const bool as_client = (bytes[0] & 4) != 0;
    const auto tried = (as_client ? clients : servers)[bytes[0] & 1]->begin();
    if ((bytes[0] & 2) == 0) {
        bool failed = as_client && tried->handshake().has_error(); // its first flight
        require(!failed);
        for (; !input.empty(); input.remove_prefix(std::min<std::size_t>(input.size(), 7))) {
            tried->feed(input.substr(0, 7));
            auto done = tried->handshake();
            require(!failed || done.has_error());
            failed = done.has_error();
            require(failed || !*done); // nobody gets through by accident
        }
        return 0;
    }
    const auto peer = (as_client ? servers : clients)[0]->begin();
    shake_hands(as_client ? *tried : *peer, as_client ? *peer : *tried);
    require(peer->write("good").has_value());
    tried->feed(peer->take_output());
    require(read_all(*tried).first == "good");
    bool failed = false;
    for (; !input.empty(); input.remove_prefix(std::min<std::size_t>(input.size(), 11))) {
        tried->feed(input.substr(0, 11));
        auto [text, wrong] = read_all(*tried);
        require(text.empty());
        require(!failed || wrong);
        failed = wrong;
    }
    require(!failed || tried->write("x").has_error());
    return 0;
}
