// STARTTLS and implicit TLS as the server engine sees them (spec/tls.md section 3, spec/smtp-server.md
// section 6.3).
//
// What the client sends has two parts, in clear and encrypted; each is given at once, octet by octet, and cut
// in two at every place: the record must be the same each time.
#include "smtp/server_engine.hpp"

#include "smtp/server_recorder_test.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>

using smtp::testing::server_recorder;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

namespace {

using lines = std::vector<std::string>;

base::tls_session session() {
    base::tls_session s;
    s.protocol = "TLSv1.3";
    s.cipher = "TLS_AES_256_GCM_SHA384";
    return s;
}

class server_tls : public ::testing::Test {
protected:
    server_tls() {
        settings.domain = "test.example.com";
        settings.version = "0";
        settings.anonymous_server = true;
        settings.anonymous_content = true;
        settings.tls = smtp::tls_mode::starttls;
    }

    using feeder = std::function<void(server_recorder&, std::string_view)>;

    std::unique_ptr<server_recorder> talk(std::string_view clear, std::string_view encrypted,
                                          const feeder& feed) {
        auto r = std::make_unique<server_recorder>(settings);
        feed(*r, clear);
        if (r->in_handshake) {
            r->tls_established(info);
            feed(*r, encrypted);
        }
        return r;
    }

    // The record, the same however the octets are cut.
    lines record_of(std::string_view clear, std::string_view encrypted = {}) {
        last = talk(clear, encrypted, [](server_recorder& r, std::string_view s) { r.feed(s); });
        const auto single = talk(clear, encrypted, [](server_recorder& r, std::string_view s) {
            for (char c : s)
                r.feed({&c, 1});
        });
        EXPECT_EQ(single->record, last->record);
        for (std::size_t at = 1; at < std::max(clear.size(), encrypted.size()); ++at) {
            const auto cut = talk(clear, encrypted, [at](server_recorder& r, std::string_view s) {
                r.feed(s.substr(0, at));
                r.feed(s.substr(std::min(at, s.size())));
            });
            EXPECT_EQ(cut->record, last->record) << "cut behind " << at;
        }
        return last->record;
    }

    smtp::server_settings settings;
    base::tls_session info = session();
    std::unique_ptr<server_recorder> last;
};

const std::string greeting = "S: 220 greeting";
const std::string ready = "S: 220 ready to start tls";
const std::string sequence = "S: 503 command out of sequence -- use RSET to resynchronise";

lines says_hello(bool starttls) {
    lines out{"S: 250-smtp says hello", "S: 250-VRFY", "S: 250-PIPELINING", "S: 250 8BITMIME"};
    if (starttls)
        out.insert(out.begin() + 1, "S: 250-STARTTLS");
    return out;
}

lines operator+(lines a, const lines& b) {
    a.insert(a.end(), b.begin(), b.end());
    return a;
}

} // namespace

TEST_F(server_tls, offered_until_it_is_used) {
    EXPECT_EQ(record_of("EHLO x\r\nSTARTTLS now\r\n", "EHLO x\r\nSTARTTLS\r\nNOOP\r\n"),
              (lines{greeting} + says_hello(true) + lines{ready, "A: start tls"} + says_hello(false) +
               lines{sequence, "S: 250 noop"}));
    EXPECT_TRUE(last->engine().encrypted());
}

TEST_F(server_tls, second_starttls_counts_as_an_error) {
    settings.max_errors = 2;
    EXPECT_EQ(record_of("HELO x\r\nSTARTTLS\r\n", "STARTTLS\r\nSTARTTLS\r\nNOOP\r\n"),
              (lines{greeting, "S: 250 hello", ready, "A: start tls", sequence, sequence,
                     "A: close: too many protocol errors from the client"}));
}

TEST_F(server_tls, only_outside_a_transaction_and_after_a_greeting) {
    EXPECT_EQ(record_of("STARTTLS\r\nHELO x\r\nMAIL FROM:<a@b>\r\nSTARTTLS\r\nRSET\r\nSTARTTLS\r\n"),
              (lines{greeting, sequence, "S: 250 hello", "S: 250 sender <a@b> OK", "A: begin", sequence,
                     "S: 250 state reset", "A: discard", ready, "A: start tls"}));
}

TEST_F(server_tls, not_known_unless_offered) {
    for (smtp::tls_mode mode : {smtp::tls_mode::none, smtp::tls_mode::implicit}) {
        settings.tls = mode;
        EXPECT_EQ(record_of("EHLO x\r\nSTARTTLS\r\n"),
                  (lines{greeting} + says_hello(false) + lines{"S: 500 command unrecognized"}));
    }
}

// RFC 3207 section 4.2 and the injection known as CVE-2011-0411.
TEST_F(server_tls, nothing_behind_the_command_survives) {
    EXPECT_EQ(record_of("HELO x\r\nSTARTTLS\r\nNOOP\r\nMAIL FROM:<evil@example.com>\r\nRCP", "T\r\nNOOP\r\n"),
              (lines{greeting, "S: 250 hello", ready, "A: start tls", "S: 500 command unrecognized",
                     "S: 250 noop"}));
    EXPECT_THAT(last->log.lines, Not(Contains(HasSubstr("evil"))));
}

TEST_F(server_tls, greeted_name_is_forgotten) {
    settings.anonymous_content = false;
    record_of("EHLO clear.example\r\nSTARTTLS\r\n", "MAIL FROM:<a@b>\r\nRCPT TO:<x@y>\r\nDATA\r\n.\r\n");
    ASSERT_EQ(last->contents.size(), 1U);
    EXPECT_THAT(last->contents[0], AllOf(HasSubstr("Received: from [192.0.2.1] ([192.0.2.1]) by "),
                                         HasSubstr(" with ESMTPS tls TLS_AES_256_GCM_SHA384 ; ")));
}

TEST_F(server_tls, recorded_with_the_message) {
    settings.anonymous_content = false;
    info.cipher = "ECDHE-RSA-AES256-GCM-SHA384";
    info.peer_certificate = "-----BEGIN CERTIFICATE-----\nabc\n-----END CERTIFICATE-----";
    record_of("EHLO a\r\nSTARTTLS\r\n",
              "EHLO tls.example\r\nMAIL FROM:<a@b>\r\nRCPT TO:<x@y>\r\nDATA\r\n.\r\n");
    ASSERT_EQ(last->contents.size(), 1U);
    EXPECT_THAT(last->contents[0],
                HasSubstr("from tls.example ([192.0.2.1]) by test.example.com with ESMTPS tls "
                          "ECDHE_RSA_AES256_GCM_SHA384 ; "));
    EXPECT_EQ(last->envelopes[0].client_certificate, info.peer_certificate);
}

TEST_F(server_tls, required_leaves_only_what_matters_not_in_clear) {
    settings.tls_required = true;
    EXPECT_EQ(
        record_of("VRFY a\r\nHELO x\r\nMAIL FROM:<a@b>\r\nVRFY a\r\nNOOP\r\nRSET\r\nHELP\r\n"
                  "MAIL nonsense\r\nSTARTTLS\r\n",
                  "MAIL FROM:<a@b>\r\nVRFY a\r\n"),
        (lines{greeting, "S: 530 encryption required: use starttls", "S: 250 hello",
               "S: 530 encryption required: use starttls", "S: 530 encryption required: use starttls",
               "S: 250 noop", "S: 250 state reset", "S: 502 command not implemented",
               "S: 530 encryption required: use starttls", ready, "A: start tls", "S: 250 sender <a@b> OK",
               "A: begin", "A: verify a", "S: 252 cannot verify but will accept: a"}));
}

TEST_F(server_tls, implicit_is_encrypted_from_the_start) {
    settings.tls = smtp::tls_mode::implicit;
    settings.tls_required = true;
    smtp::testing::log_record log;
    smtp::server_engine engine(settings, {"192.0.2.1", false}, base::logger(log));
    engine.tls_established(session());
    engine.start();
    EXPECT_TRUE(engine.encrypted());
    const std::string_view input = "HELO x\r\nMAIL FROM:<a@b>\r\n";
    engine.feed(input);
    EXPECT_TRUE(std::holds_alternative<smtp::begin_message>(engine.next()));
    EXPECT_EQ(engine.take_output(), "220 greeting\r\n250 hello\r\n250 sender <a@b> OK\r\n");
}

TEST_F(server_tls, failed_handshake_ends_the_session_without_a_reply) {
    server_recorder r(settings);
    r.feed("HELO x\r\nSTARTTLS\r\n");
    r.tls_failed();
    EXPECT_THAT(r.record, ElementsAre(greeting, "S: 250 hello", ready, "A: start tls",
                                      "A: abort: peer disconnected: ssl accept"));
}

TEST_F(server_tls, client_that_speaks_tls_at_once_is_warned_of) {
    const std::string_view hello("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11);
    const std::string warning = "warning: received unexpected tls handshake packet from remote client: "
                                "try enabling implicit tls (smtps)";
    record_of(hello);
    EXPECT_EQ(std::ranges::count(last->log.lines, warning), 1);
    record_of("NOOP\r\n\x16\x03\x01");
    EXPECT_EQ(std::ranges::count(last->log.lines, warning), 0);
}
