// Both back-ends against each other in both roles, with the octets cut in any way, and against peers that do
// not keep to the protocol.
#include "tls/context.hpp"

#include "tls/certificates_test.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

namespace {

class recording_sink : public base::log_sink {
public:
    bool wants(base::severity, base::detail) const noexcept override { return true; }
    void write(base::severity level, const base::log_context&, std::string_view text) override {
        lines.push_back((level == base::severity::warning ? "warning: " : "") + std::string(text));
    }
    std::vector<std::string> lines;
};

// Made once: they are not changed.
const tls::testing::authority& authority() {
    static const tls::testing::authority one;
    return one;
}

class tls_engines : public ::testing::Test {
protected:
    tls_engines() {
        std::string name = (std::filesystem::temp_directory_path() / "tls_test.XXXXXX").string();
        folder_ = ::mkdtemp(name.data());
        server_settings.side = tls::role::server;
        client_settings.side = tls::role::client;
        static const tls::testing::identity own = authority().issue("server.example");
        server_settings.certificate_files = {file("server.pem", own.key + own.certificate)};
    }
    ~tls_engines() override { std::filesystem::remove_all(folder_); }

    std::string file(const std::string& name, const std::string& text) {
        std::ofstream(folder_ / name) << text;
        using std::filesystem::perms;
        std::filesystem::permissions(folder_ / name, perms::owner_read | perms::owner_write);
        return (folder_ / name).string();
    }
    std::string authority_file() { return file("ca.pem", authority().certificate()); }

    // A certificate for the client, or for another server.
    std::string identity_file(const std::string& name, const tls::testing::identity& of) {
        return file(name, of.key + of.certificate);
    }

    std::unique_ptr<tls::context> make(const tls::settings& given) {
        auto made = tls::make_context(given, base::logger(log));
        EXPECT_TRUE(made.has_value()) << (made.has_error() ? made.error().what : "");
        return made.has_value() ? std::move(*made) : nullptr;
    }

    void begin() {
        server = make(server_settings)->begin();
        client = make(client_settings)->begin();
    }

    // Carries octets in pieces until neither side has anything to say; empty when both are through.
    std::string shake_hands(std::size_t piece = std::string::npos) {
        begin();
        bool client_done = false, server_done = false;
        for (int turns = 0; turns < 100'000; ++turns) {
            std::string errors;
            const auto step = [&](tls::engine& one, bool& done, const char* who) {
                if (done)
                    return;
                auto result = one.handshake();
                if (result.has_error())
                    errors += std::string(who) + ": " + result.error().what + "\n";
                else
                    done = *result;
            };
            step(*client, client_done, "client");
            step(*server, server_done, "server");
            if (!errors.empty())
                return errors;
            if (client_done && server_done && !client->has_output() && !server->has_output() &&
                to_client.empty() && to_server.empty())
                return {};
            carry(piece);
        }
        return "no end";
    }

    void carry(std::size_t piece) {
        to_server += client->take_output();
        to_client += server->take_output();
        server->feed(std::string_view(to_server).substr(0, piece));
        client->feed(std::string_view(to_client).substr(0, piece));
        to_server.erase(0, std::min(piece, to_server.size()));
        to_client.erase(0, std::min(piece, to_client.size()));
    }

    // What `to` reads of what `from` writes.
    std::string transfer(tls::engine& from, tls::engine& to, std::string_view text, std::size_t piece) {
        EXPECT_TRUE(from.write(text).has_value());
        const std::string octets = from.take_output();
        std::string got;
        std::array<char, 1000> buffer;
        for (std::string_view left = octets; !left.empty() && !HasFailure();) {
            to.feed(left.substr(0, piece));
            left.remove_prefix(std::min(piece, left.size()));
            for (;;) {
                auto n = to.read(buffer);
                if (n.has_error()) {
                    ADD_FAILURE() << n.error().what;
                    break;
                }
                if (*n == 0)
                    break;
                got.append(buffer.data(), *n);
            }
            EXPECT_FALSE(to.may_read());
        }
        return got;
    }

    recording_sink log;
    tls::settings server_settings, client_settings;
    std::unique_ptr<tls::engine> server, client;
    std::string to_server, to_client;

private:
    std::filesystem::path folder_;
};

using tls::library;

struct pairing {
    library server, client;
};

class tls_pairs : public tls_engines, public ::testing::WithParamInterface<pairing> {
protected:
    tls_pairs() {
        server_settings.library.which = GetParam().server;
        client_settings.library.which = GetParam().client;
    }
    bool only_openssl() const {
        return GetParam().server == library::openssl && GetParam().client == library::openssl;
    }
};

INSTANTIATE_TEST_SUITE_P(all, tls_pairs,
                         ::testing::Values(pairing{library::openssl, library::openssl},
                                           pairing{library::openssl, library::mbedtls},
                                           pairing{library::mbedtls, library::openssl},
                                           pairing{library::mbedtls, library::mbedtls}),
                         [](const auto& of) {
                             const auto name = [](library which) {
                                 return which == library::openssl ? "openssl" : "mbedtls";
                             };
                             return std::string(name(of.param.server)) + "_serves_" + name(of.param.client);
                         });

const std::size_t pieces[] = {1, 7, 1000, std::string::npos};

} // namespace

TEST_P(tls_pairs, agree_however_the_octets_are_cut) {
    std::string text;
    for (int i = 0; i < 20'000; ++i)
        text += static_cast<char>(i * 7 + i / 256);
    for (std::size_t piece : pieces) {
        ASSERT_EQ(shake_hands(piece), "");
        EXPECT_EQ(transfer(*client, *server, text, piece), text);
        EXPECT_EQ(transfer(*server, *client, text, piece), text);
        EXPECT_EQ(transfer(*client, *server, "x", piece), "x");
    }
}

TEST_P(tls_pairs, tell_the_same_about_the_session) {
    ASSERT_EQ(shake_hands(), "");
    const base::tls_session at_server = server->session(), at_client = client->session();
    EXPECT_EQ(at_server.protocol, only_openssl() ? "TLSv1.3" : "TLSv1.2");
    EXPECT_EQ(at_client.protocol, at_server.protocol);
    EXPECT_FALSE(at_server.cipher.empty());
    EXPECT_THAT(at_server.peer_certificate, IsEmpty());
    EXPECT_THAT(at_client.peer_certificate, AllOf(StartsWith("-----BEGIN CERTIFICATE-----\n"),
                                                  ::testing::EndsWith("-----END CERTIFICATE-----")));
    EXPECT_FALSE(at_client.verified);
    EXPECT_EQ(at_client.server_end_point.size(), 32U);
    EXPECT_EQ(at_client.server_end_point, at_server.server_end_point);
    EXPECT_EQ(at_client.exporter, at_server.exporter);
    EXPECT_EQ(at_client.exporter.size(), only_openssl() ? 32U : 0U);
}

TEST_P(tls_pairs, close_is_announced) {
    ASSERT_EQ(shake_hands(), "");
    ASSERT_TRUE(client->write("last").has_value());
    client->close();
    client->close(); // says no more
    server->feed(client->take_output());
    std::array<char, 100> buffer;
    EXPECT_EQ(server->read(buffer).value(), 4U);
    EXPECT_EQ(server->read(buffer).value(), 0U);
    EXPECT_TRUE(server->peer_closed());
    EXPECT_TRUE(server->may_read());
}

TEST_P(tls_pairs, certificate_of_the_client_is_recorded_unchecked) {
    client_settings.certificate_files = {
        identity_file("other.pem", tls::testing::authority("Other").issue("me"))};
    ASSERT_EQ(shake_hands(), "");
    EXPECT_THAT(server->session().peer_certificate, StartsWith("-----BEGIN CERTIFICATE-----\n"));
    EXPECT_FALSE(server->session().verified);
}

TEST_P(tls_pairs, no_certificate_is_asked_for) {
    client_settings.certificate_files = {identity_file("me.pem", authority().issue("me"))};
    server_settings.verify = "<none>";
    ASSERT_EQ(shake_hands(), "");
    EXPECT_THAT(server->session().peer_certificate, IsEmpty());
    server_settings.verify.clear();
    server_settings.library.no_verify = true;
    ASSERT_EQ(shake_hands(), "");
    EXPECT_THAT(server->session().peer_certificate, IsEmpty());
}

TEST_P(tls_pairs, client_must_have_a_good_certificate) {
    server_settings.verify = authority_file();
    EXPECT_THAT(shake_hands(), HasSubstr("server: ssl accept: ")) << "without one";
    client_settings.certificate_files = {identity_file("me.pem", authority().issue("me"))};
    EXPECT_EQ(shake_hands(), "");
    EXPECT_TRUE(server->session().verified);
    client_settings.certificate_files = {identity_file("old.pem", authority().issue("me", "", -60))};
    EXPECT_THAT(shake_hands(), HasSubstr("server: ssl accept: ")) << "expired";
    client_settings.certificate_files = {
        identity_file("other.pem", tls::testing::authority("Other").issue("me"))};
    EXPECT_THAT(shake_hands(), HasSubstr("server: ssl accept: ")) << "of an unknown authority";
}

TEST_P(tls_pairs, server_must_have_a_good_certificate) {
    client_settings.verify = authority_file();
    EXPECT_EQ(shake_hands(), "");
    EXPECT_TRUE(client->session().verified);
    server_settings.certificate_files = {
        identity_file("old.pem", authority().issue("server.example", "", -60))};
    EXPECT_THAT(shake_hands(), HasSubstr("client: ssl connect: ")) << "expired";
    server_settings.certificate_files = {
        identity_file("other.pem", tls::testing::authority("Other").issue("server.example"))};
    EXPECT_THAT(shake_hands(), HasSubstr("client: ssl connect: ")) << "of an unknown authority";
    client_settings.verify = "<none>";
    EXPECT_EQ(shake_hands(), "");
}

TEST_P(tls_pairs, name_of_the_server) {
    client_settings.verify = authority_file();
    const struct {
        const char* common_name;
        const char* alternatives;
        const char* wanted;
        bool good;
    } cases[] = {
        {"mail.example", "", "mail.example", true},
        {"mail.example", "", "other.example", false},
        {"mail.example", "", "MAIL.example", true},
        {"*.example.net", "", "mail.example.net", true},
        {"x", "DNS:mail.example", "mail.example", true},
        {"x", "DNS:a.example,DNS:mail.example", "mail.example", true},
        {"x", "DNS:*.example.net", "mail.example.net", true},
        {"x", "DNS:*.example.net", "a.mail.example.net", false},
        {"x", "DNS:*.example.net", "example.net", false},
        {"x", "DNS:m*l.example.net", "mail.example.net", false},
        {"mail.example", "DNS:other.example", "mail.example", true}, // exact common name in any case
        {"*.example.net", "DNS:other.example", "mail.example.net", false},
        {"mail.example", "DNS:other.example", "mail.exampl", false},
    };
    for (const auto& c : cases) {
        SCOPED_TRACE(std::string(c.common_name) + " [" + c.alternatives + "] " + c.wanted);
        server_settings.certificate_files = {
            identity_file("named.pem", authority().issue(c.common_name, c.alternatives))};
        client_settings.verify_name = c.wanted;
        log.lines.clear();
        EXPECT_EQ(shake_hands().empty(), c.good);
        EXPECT_THAT(log.lines,
                    ElementsAre("tls: certificate-subject=[/CN=" + std::string(c.common_name) +
                                "] required-peer-name=[" + c.wanted + "] ok=" + (c.good ? "1" : "0")));
    }
}

TEST_P(tls_pairs, versions_are_limited) {
    server_settings.library.highest = tls::version::tls1_2;
    ASSERT_EQ(shake_hands(), "");
    EXPECT_EQ(server->session().protocol, "TLSv1.2");
    EXPECT_EQ(server->session().unique.size(), 12U);
    EXPECT_EQ(server->session().unique, client->session().unique);

    client_settings.library.lowest = tls::version::tls1_3;
    EXPECT_NE(shake_hands(), "");

    client_settings.library.lowest = server_settings.library.lowest = tls::version::ssl3;
    client_settings.library.highest = tls::version::tls1_1;
    ASSERT_EQ(shake_hands(), "");
    EXPECT_EQ(server->session().protocol, "TLSv1.1");

    server_settings.library.lowest = tls::version::tls1_2;
    EXPECT_NE(shake_hands(), "");
}

TEST_P(tls_pairs, server_name_is_sent_and_not_checked) {
    client_settings.server_name = "unrelated.example";
    client_settings.verify = authority_file();
    EXPECT_EQ(shake_hands(), "");
    begin();
    EXPECT_FALSE(client->handshake().value());
    EXPECT_THAT(client->take_output(), HasSubstr("unrelated.example"));
    client_settings.server_name.clear();
    client_settings.verify_name = "unrelated.example";
    begin();
    EXPECT_FALSE(client->handshake().value());
    EXPECT_THAT(client->take_output(), ::testing::Not(HasSubstr("unrelated.example")));
}

TEST_P(tls_pairs, keys_and_certificates_in_any_order_and_place) {
    tls::testing::authority other("Other");
    const tls::testing::identity own = authority().issue("server.example");
    client_settings.verify = authority_file();
    const std::string more = other.certificate();
    for (const std::string& text : {own.key + own.certificate + more, own.certificate + own.key + more,
                                    more + own.certificate + own.key}) {
        server_settings.certificate_files = {file("all.pem", text)};
        EXPECT_EQ(shake_hands(), "");
    }
    server_settings.certificate_files = {file("key.pem", own.key), file("chain.pem", own.certificate + more)};
    EXPECT_EQ(shake_hands(), "");
}

TEST_P(tls_pairs, mistakes_in_files_are_found_at_the_start) {
    const tls::testing::identity one = authority().issue("a"), two = authority().issue("b");
    const auto error_of = [&](const tls::settings& given) {
        auto made = tls::make_context(given, base::logger(log));
        return made.has_error() ? made.error().what : std::string();
    };
    tls::settings s = server_settings;
    s.certificate_files = {file("key.pem", one.key), file("other.pem", two.certificate)};
    EXPECT_THAT(error_of(s), AllOf(StartsWith("tls error: "), HasSubstr("belongs to the private key"),
                                   HasSubstr("file=[" + s.certificate_files[1] + "]")));
    s.certificate_files = {"/nowhere/key.pem"};
    EXPECT_THAT(error_of(s), AllOf(StartsWith("tls error: "), HasSubstr("no such file"),
                                   HasSubstr("file=[/nowhere/key.pem]")));
    EXPECT_THAT(log.lines, Contains("warning: cannot open ssl key file: /nowhere/key.pem"));
    s.certificate_files = {file("key.pem", one.key), "/nowhere/cert.pem"};
    EXPECT_THAT(error_of(s), HasSubstr("file=[/nowhere/cert.pem]"));
    EXPECT_THAT(log.lines, Contains("warning: cannot open ssl certificate file: /nowhere/cert.pem"));
    s.certificate_files = {file("rubbish.pem", "rubbish")};
    EXPECT_THAT(error_of(s), HasSubstr("file=["));
    s = server_settings;
    s.verify = file("empty.pem", "");
    EXPECT_THAT(error_of(s), HasSubstr("file=[" + s.verify + "]"));
}

TEST_P(tls_pairs, a_peer_that_speaks_something_else) {
    const std::string_view texts[] = {
        "EHLO client.example.org\r\nMAIL FROM:<a@b>\r\n", "GET / HTTP/1.1\r\n\r\n",
        std::string_view("\x16\x03\x01\xff\xff\x01\x00", 7),
        std::string_view("\x80\x2e\x01\x03\x01\x00\x15", 7), std::string_view("\0\0\0\0\0\0\0\0\0\0", 10)};
    for (std::string_view text : texts) {
        begin();
        server->feed(text);
        auto done = server->handshake();
        ASSERT_TRUE(done.has_error() || !*done);
        server->feed(std::string(70'000, 'x'));
        EXPECT_TRUE(server->handshake().has_error());
        server->take_output();
        server->close();
        EXPECT_FALSE(server->has_output());
    }
}

TEST_P(tls_pairs, damage_to_a_record_ends_the_session) {
    ASSERT_EQ(shake_hands(), "");
    ASSERT_TRUE(client->write("MAIL FROM:<a@b>\r\n").has_value());
    std::string octets = client->take_output();
    octets.back() = static_cast<char>(octets.back() ^ 1);
    server->feed(octets);
    std::array<char, 100> buffer;
    const auto got = server->read(buffer);
    ASSERT_TRUE(got.has_error());
    EXPECT_THAT(got.error().what, StartsWith("ssl read: "));
    EXPECT_TRUE(server->may_read());
    ASSERT_TRUE(client->write("more").has_value());
    server->feed(client->take_output());
    EXPECT_TRUE(server->read(buffer).has_error()) << "it stays that way";
    EXPECT_TRUE(server->write("x").has_error());
}

TEST_P(tls_pairs, octets_in_clear_after_the_handshake_are_refused) {
    ASSERT_EQ(shake_hands(), "");
    server->feed(std::string_view("MAIL FROM:<a@b>\r\nRCPT TO:<x@y>\r\n"));
    std::array<char, 100> buffer;
    EXPECT_TRUE(server->read(buffer).has_error());
}

TEST(library_settings, keywords) {
    const auto read =
        tls::read_library_settings({"MbedTLS", " tlsv1.0", "-TLSv1.2", "noverify", "op_all", "Nopsa", ""});
    EXPECT_THAT(read.unknown, IsEmpty());
    EXPECT_EQ(read.settings.which, tls::library::mbedtls);
    EXPECT_EQ(read.settings.lowest, tls::version::tls1_0);
    EXPECT_EQ(read.settings.highest, tls::version::tls1_2);
    EXPECT_TRUE(read.settings.no_verify);
    EXPECT_TRUE(read.settings.all_workarounds);
    EXPECT_FALSE(read.settings.no_tickets);
}

TEST(library_settings, defaults_and_unknown_words) {
    const auto read = tls::read_library_settings({"x", "-sslv3", "tlsv1.4", "sslv3"});
    EXPECT_THAT(read.unknown, ElementsAre("x", "-sslv3", "tlsv1.4"));
    EXPECT_EQ(read.settings.lowest, tls::version::ssl3);
    EXPECT_THAT(tls::read_library_settings({"ignoreextra", "x"}).unknown, IsEmpty());
    EXPECT_EQ(tls::read_library_settings({}).settings.lowest, tls::version::tls1_2);
    EXPECT_EQ(tls::read_library_settings({}).settings.which, tls::library::openssl);
}
