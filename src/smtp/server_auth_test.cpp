// AUTH as the server engine sees it: every row of spec/smtp-server.md section 6.2, and what comes with it.
//
// Each conversation is given at once, octet by octet, and cut in two at every place: the record must be the
// same each time.
#include "smtp/server_engine.hpp"

#include "base/base64.hpp"
#include "sasl/scram.hpp"
#include "smtp/server_recorder_test.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

using smtp::testing::server_recorder;
using ::testing::Contains;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

namespace {

using namespace std::string_literals;
using lines = std::vector<std::string>;

const std::string secrets_text = "server plain me secret\n"
                                 "server none 10.0.0.0/8 inside\n"
                                 "server md5 short AAAA\n";

std::string coded(std::string_view text) {
    return base::base64_encode(text);
}

class server_auth : public ::testing::Test {
protected:
    server_auth() {
        settings.domain = "test.example.com";
        settings.version = "0";
        settings.anonymous_server = true;
        settings.anonymous_content = true;
        settings.pipelining = false;
        settings.anonymous_vrfy = false;
        settings.max_idle_commands = 0;
    }

    std::shared_ptr<const sasl::mechanism_rules> rules() const {
        return std::make_shared<const sasl::mechanism_rules>(sasl::mechanism_rules::parse(lists, false));
    }

    std::optional<smtp::authentication> required() const {
        const auto fresh = [] {
            return "17.42"s;
        };
        if (pam)
            return smtp::authentication{sasl::server(rules()), fresh};
        const auto salt = std::make_shared<const base::secret_text>("salt");
        return smtp::authentication{sasl::server(sasl::secrets::parse(file).value, rules(), salt), fresh};
    }

    std::unique_ptr<server_recorder> recorder() const {
        return std::make_unique<server_recorder>(settings, peer, true, required());
    }

    // The record behind the greeting, the same however the octets are cut; without the reply to EHLO.
    lines talk(std::string_view text) {
        std::string all = greet ? "EHLO x\r\n" + std::string(text) : std::string(text);
        last = recorder();
        last->feed(all);
        auto single = recorder();
        for (char c : all)
            single->feed({&c, 1});
        EXPECT_EQ(last->record, single->record);
        for (std::size_t cut = 1; cut < all.size(); ++cut) {
            auto two = recorder();
            two->feed(all.substr(0, cut));
            two->feed(all.substr(cut));
            EXPECT_EQ(last->record, two->record) << cut;
        }
        lines out = last->record;
        out.erase(out.begin());
        if (greet)
            while (!out.empty() && out.front().starts_with("S: 250"))
                out.erase(out.begin());
        for (const auto* r : {last.get(), single.get()}) // whatever was said and however it was cut
            for (const std::string& line : r->log.lines) {
                EXPECT_THAT(line, Not(HasSubstr("secret\"")));
                EXPECT_THAT(line, Not(HasSubstr(coded("\0me\0secret"s))));
                EXPECT_THAT(line, Not(HasSubstr(coded("secret"))));
            }
        return out;
    }

    std::string logged(std::string_view beginning) const {
        for (const std::string& line : last->log.lines)
            if (line.starts_with(beginning))
                return line;
        return {};
    }

    smtp::server_settings settings;
    smtp::peer_info peer{"192.0.2.1", false};
    std::string file = secrets_text, lists;
    bool pam = false, greet = true;
    std::unique_ptr<server_recorder> last;
    const std::string right = "AUTH PLAIN " + coded("\0me\0secret"s) + "\r\n";
    const std::string wrong = "AUTH PLAIN " + coded("\0me\0guess"s) + "\r\n";
    const std::string yes = "S: 235 authentication successful", no = "S: 535 authentication failed";
    const std::string out_of_step = "S: 503 command out of sequence -- use RSET to resynchronise";
};

TEST_F(server_auth, offer) {
    greet = false;
    EXPECT_THAT(talk("EHLO x\r\n"),
                Contains("S: 250-AUTH CRAM-SHA512 CRAM-SHA256 CRAM-SHA1 CRAM-MD5 PLAIN LOGIN"));
    lists = "m:login;x:plain";
    EXPECT_THAT(talk("EHLO x\r\n"), Contains("S: 250-AUTH LOGIN"));
    EXPECT_THAT(talk("HELO x\r\n"), Each(Not(HasSubstr("AUTH"))));
    lists = "m:";
    EXPECT_THAT(talk("EHLO x\r\n"), Each(Not(HasSubstr("AUTH"))));
    lists = "";
    EXPECT_THAT(talk("EHLO x\r\n" + right + "EHLO x\r\n").back(), "S: 250 8BITMIME");
}

TEST_F(server_auth, plain) {
    EXPECT_THAT(talk(right), ElementsAre(yes));
    EXPECT_EQ(logged("info: successful"),
              "info: successful authentication of remote client using mechanism [plain] "
              "and plaintext secret for [me] from line 1");
    EXPECT_THAT(last->log.lines, Contains("info: rx<<: \"AUTH PLAIN [not logged]\""));
    EXPECT_THAT(talk("AUTH PLAIN\r\n" + coded("\0me\0secret"s) + "\r\n"), ElementsAre("S: 334 ", yes));
    EXPECT_THAT(last->log.lines, Contains("info: rx<<: [authentication response not logged]"));
    EXPECT_THAT(talk("auth plain\t " + coded("x\0me\0secret"s) + " \r\n"), ElementsAre(yes));
    EXPECT_THAT(talk("AUTH PLAIN =\r\n"), ElementsAre("A: wait 1", no));
}

TEST_F(server_auth, login) {
    EXPECT_THAT(talk("AUTH LOGIN\r\nbWU=\r\nc2VjcmV0\r\n"),
                ElementsAre("S: 334 VXNlcm5hbWU6", "S: 334 UGFzc3dvcmQ6", yes));
    EXPECT_THAT(talk("AUTH LOGIN bWU=\r\nc2VjcmV0\r\n"), ElementsAre("S: 334 UGFzc3dvcmQ6", yes));
    EXPECT_THAT(talk("AUTH LOGIN =\r\nc2VjcmV0\r\n"), ElementsAre("S: 334 UGFzc3dvcmQ6", "A: wait 1", no));
}

// talk() looks for the secret in the log.
TEST_F(server_auth, secrets_of_a_client_that_does_not_wait_are_not_logged) {
    const std::string rest = "\r\nbWU=\r\nc2VjcmV0\r\n", unknown = "S: 500 command unrecognized";
    lists = "m:cram-md5";
    EXPECT_THAT(talk("AUTH LOGIN" + rest),
                ElementsAre("S: 504 unsupported authentication mechanism", unknown, unknown));
    EXPECT_THAT(last->log.lines, Contains("info: rx<<: [not logged]").Times(2));
    EXPECT_THAT(talk("AUTH CRAM-MD5 =" + rest), ElementsAre("S: 501 invalid argument", unknown, unknown));
    lists = "";
    EXPECT_THAT(talk("MAIL FROM:<a>\r\nAUTH LOGIN\r\n*" + rest), Contains(unknown).Times(2));
    EXPECT_THAT(talk("AUTH LOGIN\r\n*\r\nNOOP\r\nsomething else\r\n"), Contains(unknown));
    EXPECT_THAT(last->log.lines, Contains("info: rx<<: \"something else\""));
    EXPECT_THAT(talk(right + "something else\r\n"), ElementsAre(yes, unknown));
    EXPECT_THAT(last->log.lines, Contains("info: rx<<: \"something else\""));
}

TEST_F(server_auth, cram) {
    const std::string answer =
        "me " + sasl::to_hex(sasl::hmac(sasl::hash_function::sha1, "secret", "<17.42@test.example.com>"));
    const std::string challenge = "S: 334 " + coded("<17.42@test.example.com>");
    EXPECT_THAT(talk("AUTH CRAM-SHA1\r\n" + coded(answer) + "\r\n"), ElementsAre(challenge, yes));
    EXPECT_THAT(talk("AUTH CRAM-MD5\r\n" + coded(answer) + "\r\n"), ElementsAre(challenge, "A: wait 1", no));
    EXPECT_THAT(talk("AUTH CRAM-MD5 bWU=\r\n"), ElementsAre("S: 501 invalid argument"));
    EXPECT_EQ(logged("warning:"), "warning: unexpected initial-response with a server-first AUTH mechanism");
    EXPECT_THAT(talk("AUTH CRAM-MD5 =\r\n"), ElementsAre("S: 501 invalid argument"));
    EXPECT_THAT(talk("AUTH CRAM-MD5\r\n" + coded("short 00") + "\r\n"),
                ElementsAre(challenge, "A: wait 1", no));
    EXPECT_EQ(logged("warning: invalid"), "warning: invalid md5 hash state");
}

TEST_F(server_auth, scram_takes_its_computing_elsewhere) {
    lists = "m:scram-sha-256";
    auto r = recorder();
    r->feed("EHLO x\r\nAUTH SCRAM-SHA-256 " + coded("n,,n=me,r=abc") + "\r\n");
    const std::string first = *base::base64_decode(r->record.back().substr(7));
    std::string_view rest = first;
    const auto nonce = sasl::take_attribute(rest, 'r'), salt = sasl::take_attribute(rest, 's');
    const auto salted =
        sasl::scram_salted_password("secret", *base::base64_decode(*salt), sasl::our_iterations);
    const std::string bare = "c=biws,r=" + std::string(*nonce);
    const std::string proof = sasl::scram_proof(salted.view(), "n=me,r=abc," + first + "," + bare);
    r->feed(coded(bare + ",p=" + coded(proof)) + "\r\n");
    EXPECT_TRUE(base::base64_decode(r->record.back().substr(7))->starts_with("v="));
    r->feed("\r\n");
    EXPECT_EQ(r->record.back(), yes);
}

TEST_F(server_auth, refused) {
    EXPECT_THAT(talk(wrong), ElementsAre("A: wait 1", no));
    EXPECT_EQ(logged("warning:"),
              "warning: failed authentication of remote client using mechanism [plain] and "
              "plaintext secret for [me] from line 1");
    EXPECT_THAT(talk("AUTH PLAIN " + coded("\0you\0x"s) + "\r\n"), ElementsAre("A: wait 1", no));
    EXPECT_EQ(logged("warning:"), "warning: failed authentication of remote client using mechanism [plain] "
                                  "and missing secret for [you]");
    EXPECT_THAT(talk("AUTH PLAIN\r\n!\r\n"), ElementsAre("S: 334 ", "A: wait 1", no));
    EXPECT_EQ(logged("warning:"), "warning: invalid base64 encoding of authentication response");
    EXPECT_THAT(talk("AUTH PLAIN !\r\n"), ElementsAre("S: 501 invalid argument"));
    EXPECT_EQ(logged("warning:"), "warning: invalid base64 encoding of AUTH parameter");
    EXPECT_THAT(talk("AUTH PLAIN\r\n*\r\nNOOP\r\n"),
                ElementsAre("S: 334 ", "S: 501 authentication cancelled", "S: 250 noop"));
    EXPECT_THAT(talk("AUTH LOGIN bWU=\r\n*\r\n"),
                ElementsAre("S: 334 UGFzc3dvcmQ6", "S: 501 authentication cancelled"));
    EXPECT_THAT(talk("AUTH LOGIN x y\r\n"), ElementsAre("S: 501 invalid argument"));
    // Whatever stands where a response belongs is one.
    EXPECT_THAT(talk("AUTH PLAIN\r\nQUIT\r\n"), ElementsAre("S: 334 ", "A: wait 1", no));
}

TEST_F(server_auth, mechanisms_that_are_not_there) {
    const std::string unsupported = "S: 504 unsupported authentication mechanism";
    EXPECT_THAT(talk("AUTH NTLM x\r\nAUTH\r\nAUTH XOAUTH2 x\r\nAUTH SCRAM-SHA-256\r\nAUTH APOP\r\n"),
                ElementsAre(unsupported, unsupported, unsupported, unsupported, unsupported));
    EXPECT_EQ(logged("warning:"), "warning: request for unsupported server AUTH mechanism: NTLM");
    lists = "x:plain";
    EXPECT_THAT(talk(right), ElementsAre(unsupported));
    lists = "m:;a:plain";
    EXPECT_THAT(talk(right), ElementsAre(unsupported)); // there is no TLS to be had
    settings.tls = smtp::tls_mode::starttls;
    EXPECT_THAT(talk(right + "AUTH NTLM\r\n"),
                ElementsAre(unsupported + ": use starttls", unsupported + ": use starttls"));
    lists = "a:plain;x:plain";
    EXPECT_THAT(talk(right + "AUTH NTLM\r\n"), ElementsAre(unsupported + ": use starttls", unsupported));
}

TEST_F(server_auth, none_at_all) {
    lists = "m:";
    EXPECT_THAT(talk(right + "MAIL FROM:<a@b>\r\n"),
                ElementsAre("S: 502 command not implemented", "S: 530 authentication required"));
    EXPECT_EQ(logged("warning:"), "warning: client protocol error: AUTH requested but not advertised");
}

TEST_F(server_auth, state) {
    EXPECT_THAT(talk(right + right), ElementsAre(yes, out_of_step));
    EXPECT_EQ(logged("warning:"), "warning: too many AUTH requests");
    EXPECT_THAT(talk(right + "RSET\r\nHELO x\r\n" + right),
                ElementsAre(yes, "S: 250 state reset", "S: 250 hello", out_of_step));
    const lines again = talk(right + "EHLO x\r\n" + right);
    EXPECT_EQ(again.front(), yes);
    EXPECT_EQ(again.back(), yes);
    EXPECT_THAT(talk(right + "MAIL FROM:<a@b>\r\n" + right),
                ElementsAre(yes, "S: 250 sender <a@b> OK", "A: begin", out_of_step));
    greet = false;
    EXPECT_THAT(talk(right), ElementsAre(out_of_step));
    EXPECT_THAT(talk("HELO x\r\n" + right), ElementsAre("S: 250 hello", yes));
}

TEST_F(server_auth, needed_for_mail) {
    const std::string needed = "S: 530 authentication required";
    EXPECT_THAT(talk("MAIL FROM:<a@b>\r\nVRFY a\r\nVRFY\r\nRCPT TO:<a>\r\n"),
                ElementsAre(needed, needed, needed, out_of_step));
    EXPECT_EQ(logged("info: server auth"),
              "info: server authentication enabled but not a trusted address: 192.0.2.1");
    settings.tls_required = true;
    settings.tls = smtp::tls_mode::starttls;
    EXPECT_THAT(
        talk("MAIL FROM:<a@b>\r\n" + right),
        ElementsAre(needed + ": use starttls", "S: 504 unsupported authentication mechanism: use starttls"));
    EXPECT_EQ(logged("warning:"), "warning: rejecting authentication attempt without encryption");
    greet = false;
    EXPECT_THAT(talk("EHLO x\r\n"), Each(Not(HasSubstr("AUTH"))));
}

TEST_F(server_auth, message_says_who) {
    settings.anonymous_content = false;
    EXPECT_THAT(talk(right + "MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n\r\n.\r\n"),
                Contains("A: check c@d from a@b by me with plain"));
    ASSERT_EQ(last->envelopes.size(), 1U);
    EXPECT_EQ(last->envelopes[0].authentication, "me");
    EXPECT_THAT(last->contents[0], HasSubstr(" with ESMTPA ; "));
}

TEST_F(server_auth, trusted_address) {
    settings.anonymous_content = false;
    peer.address = "10.1.2.3";
    EXPECT_THAT(talk("MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n\r\n.\r\n"),
                Contains("A: check c@d from a@b by inside with none"));
    EXPECT_EQ(logged("info: trusting"), "info: trusting [10.1.2.3]: matched [10.0.0.0/8] from line 2");
    EXPECT_EQ(last->envelopes[0].authentication, "inside");
    EXPECT_THAT(last->contents[0], HasSubstr(" with ESMTP ; "));
    EXPECT_THAT(talk(right), ElementsAre(yes)); // may log in all the same
}

TEST_F(server_auth, guesses_are_slow_and_few) {
    std::string guesses;
    for (int i = 0; i < 25; ++i)
        guesses += wrong;
    settings.max_other_errors = 8;
    last = recorder();
    last->feed("EHLO x\r\n" + guesses);
    lines waits;
    for (const std::string& line : last->record)
        if (line.starts_with("A: wait"))
            waits.push_back(line.substr(8));
    EXPECT_THAT(waits, ElementsAre("1", "2", "4", "8", "16", "32", "32", "32"));
    EXPECT_EQ(last->record.back(), "A: close: too many protocol errors from the client");
}

TEST_F(server_auth, beginning_and_cancelling_has_an_end) {
    settings.max_other_errors = 3;
    EXPECT_THAT(talk("AUTH PLAIN\r\n*\r\nAUTH LOGIN\r\n*\r\nAUTH PLAIN !\r\nNOOP\r\n"),
                ElementsAre("S: 334 ", "S: 501 authentication cancelled", "S: 334 VXNlcm5hbWU6",
                            "S: 501 authentication cancelled", "S: 501 invalid argument",
                            "A: close: too many protocol errors from the client"));
}

TEST_F(server_auth, long_lines) {
    const std::string x12288(12'288, 'A'), x12289(12'289, 'A'), x4097(4097, 'x');
    auto r = recorder();
    r->feed("EHLO x\r\n");
    const auto say = [&r](const std::string& text) {
        r->feed(text + "\r\n");
        return r->record.back();
    };
    EXPECT_EQ(say("AUTH PLAIN"), "S: 334 ");
    EXPECT_EQ(say(x12289), "S: 500 line too long");
    EXPECT_EQ(say("NOOP"), "S: 250 noop");
    EXPECT_EQ(say("AUTH PLAIN"), "S: 334 ");
    EXPECT_EQ(say(x12288), no); // taken
    EXPECT_EQ(say("AUTH PLAIN " + x12288.substr(12)), no);
    EXPECT_EQ(say("AUTH PLAIN " + x12288), "S: 500 line too long");
    EXPECT_EQ(say("NOOP " + x4097), "S: 500 line too long");
    EXPECT_EQ(say("NOOP"), "S: 250 noop");
}

TEST_F(server_auth, long_lines_without_a_limit) {
    settings.max_auth_line = 0;
    auto r = recorder();
    r->feed("EHLO x\r\nAUTH PLAIN " + std::string(70'000, 'A') + "\r\n");
    EXPECT_EQ(r->record.back(), no);
    r->feed("NOOP " + std::string(4097, 'x') + "\r\n");
    EXPECT_EQ(r->record.back(), "S: 500 line too long") << "other lines have their own";
    r->feed("AUTH PLAIN " + std::string(80'000, 'A'));
    EXPECT_EQ(r->record.back(), "A: abort: server protocol overflow");
}

TEST_F(server_auth, others_check_passwords) {
    pam = true;
    const auto with = [](const std::string& id, const std::string& password) {
        return "AUTH PLAIN " + coded("\0"s + id + "\0"s + password) + "\r\n";
    };
    EXPECT_THAT(talk(with("root", "right")), ElementsAre("A: password of root", yes));
    EXPECT_THAT(talk(with("root", "wrong")), ElementsAre("A: password of root", "A: wait 1", no));
    EXPECT_THAT(
        talk(with("later", "right") + "NOOP\r\n"),
        ElementsAre("A: password of later", "S: 454 temporary authentication failure", "S: 250 noop"));
}

TEST_F(server_auth, forgotten_at_starttls) {
    settings.tls = smtp::tls_mode::starttls;
    last = recorder();
    last->feed("EHLO x\r\n" + right + "STARTTLS\r\n");
    base::tls_session session;
    session.exporter = "0123";
    last->tls_established(session);
    last->feed("MAIL FROM:<a@b>\r\n");
    EXPECT_EQ(last->record.back(), "S: 530 authentication required");
}

TEST_F(server_auth, buffers_that_held_a_password) {
    auto r = recorder();
    r->feed("EHLO x\r\n");
    EXPECT_FALSE(r->engine().took_secret());
    r->feed(right);
    EXPECT_TRUE(r->engine().took_secret());
    EXPECT_FALSE(r->engine().took_secret());
    r->feed("RSET\r\nA");
    EXPECT_TRUE(r->engine().took_secret()) << "it may become one";
}

} // namespace
