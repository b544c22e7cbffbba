// AUTH as the client engine does it (spec/smtp-client.md section 5, spec/authentication.md section 7): what
// it says to a scripted server, and what becomes of the message.
#include "smtp/client_engine.hpp"

#include "base/base64.hpp"
#include "base/text.hpp"
#include "sasl/server.hpp"
#include "smtp/client_dialogue_test.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

namespace {

using namespace smtp;
using namespace smtp::testing;
using namespace std::string_literals;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

using lines = std::vector<std::string>;

std::string coded(std::string_view text) {
    return base::base64_encode(text);
}

const std::string me = coded("\0me\0secret"s);
const std::string nowhere = "authentication is not supported by the remote smtp server";

class client_auth : public ::testing::Test {
protected:
    // Everything the client says between EHLO and MAIL, or the end; `answers` are the replies to AUTH and to
    // what follows it.
    lines talk(std::vector<std::string> answers) {
        lines all;
        for (std::size_t piece : {std::string::npos, std::size_t{1}}) {
            lines now = talk_in_pieces(answers, piece);
            if (piece == 1) {
                EXPECT_EQ(now, all);
            }
            all = std::move(now);
        }
        return all;
    }

    lines talk_in_pieces(const std::vector<std::string>& answers, std::size_t piece) {
        sink = recording_sink();
        events.clear();
        client_engine engine(settings, base::logger(sink));
        const auto parsed = sasl::secrets::parse(file);
        const auto rules =
            std::make_shared<const sasl::mechanism_rules>(sasl::mechanism_rules::parse(lists, true));
        engine.log_in({sasl::client(parsed.value, rules), selector, [] {
                           return "fresh"s;
                       }});
        lines said;
        mail.clear();
        std::size_t next = 0;
        const auto peer = [&](const std::string& written) -> turn {
            const std::string line = written.substr(0, written.find("\r\n"));
            const std::string verb = line.substr(0, 4);
            if (written.empty())
                return {turn::kind::replies, "220 x\r\n"};
            if (verb == "EHLO")
                return {turn::kind::replies, ehlo};
            if (verb == "HELO" || verb == "RCPT" || verb == "QUIT")
                return {turn::kind::replies, "250 ok\r\n"};
            if (verb == "MAIL") {
                mail = line;
                return {turn::kind::replies, "250 ok\r\n"};
            }
            if (verb == "DATA")
                return {turn::kind::replies, "354 go\r\n"};
            if (line == "hi" || mail.empty() == false)
                return {turn::kind::replies, "250 taken\r\n"};
            said.push_back(line);
            std::string answer = next < answers.size() ? answers[next++] : "500 what?";
            if (on_line)
                on_line(line, answer);
            return {turn::kind::replies, answer + "\r\n"};
        };
        events = drive(engine, {message}, peer, piece);
        for (const std::string& line : sink.lines) {
            EXPECT_THAT(line, Not(HasSubstr(me)));
            EXPECT_THAT(line, Not(HasSubstr(coded("secret"))));
        }
        return said;
    }

    client_settings settings = smtp::testing::settings();
    std::string file = "client plain me secret\n", lists, selector;
    std::string ehlo = "250-x\r\n250 AUTH CRAM-MD5 PLAIN LOGIN XOAUTH2\r\n";
    letter message = a_letter();
    recording_sink sink;
    lines events;
    std::string mail;
    std::function<void(const std::string&, std::string&)> on_line;
};

TEST_F(client_auth, cram_first) {
    const std::string answer = "me " + sasl::to_hex(sasl::hmac(sasl::hash_function::md5, "secret", "<1@x>"));
    EXPECT_THAT(talk({"334 " + coded("<1@x>"), "235 ok"}), ElementsAre("AUTH CRAM-MD5", coded(answer)));
    EXPECT_THAT(events, ElementsAre("sent", "over"));
    EXPECT_TRUE(
        sink.has("successful authentication with remote server using mechanism [cram-md5] and plaintext "
                 "secret for [me] from line 1"));
    EXPECT_TRUE(sink.has("tx>>: [response not logged]"));
    EXPECT_EQ(mail, "MAIL FROM:<s@a> AUTH=me");
}

TEST_F(client_auth, falls_through_to_the_next) {
    EXPECT_THAT(talk({"535 no", "454 not now", "334 UGFzc3dvcmQ6", "535 still no"}),
                ElementsAre("AUTH CRAM-MD5", "AUTH PLAIN " + me, "AUTH LOGIN bWU=", coded("secret")));
    EXPECT_THAT(events,
                ElementsAre("session failed with message: authentication failed using mechanism [login] and "
                            "plaintext secret for [me] from line 1: [still no]"));
    EXPECT_TRUE(sink.has("tx>>: \"AUTH PLAIN [not logged]\""));
}

TEST_F(client_auth, plain_and_login) {
    lists = "plain";
    EXPECT_THAT(talk({"235 ok"}), ElementsAre("AUTH PLAIN " + me));
    lists = "m:login";
    EXPECT_THAT(talk({"334 UGFzc3dvcmQ6", "235 ok"}), ElementsAre("AUTH LOGIN bWU=", coded("secret")));
    // A server that does not take the name with the command asks for it again.
    EXPECT_THAT(talk({"334 x!", "501 cancelled"}), ElementsAre("AUTH LOGIN bWU=", "*"));
}

TEST_F(client_auth, long_secrets_wait_to_be_asked_for) {
    const std::string password(400, 'x');
    file = "client plain me " + password;
    lists = "m:plain";
    EXPECT_THAT(talk({"334 ", "235 ok"}), ElementsAre("AUTH PLAIN", coded("\0me\0"s + password)));
    lists = "m:login";
    file = "client plain " + password + " secret";
    EXPECT_THAT(talk({"334 VXNlcm5hbWU6", "334 UGFzc3dvcmQ6", "235 ok"}),
                ElementsAre("AUTH LOGIN", coded(password), coded("secret")));
}

TEST_F(client_auth, xoauth2) {
    const std::string token = "user=me\x01"
                              "auth=Bearer abc\x01\x01";
    file = "client oauth me " + coded(token) + "\n";
    EXPECT_THAT(talk({"235 ok"}), ElementsAre("AUTH XOAUTH2 " + coded(token)));
    EXPECT_THAT(talk({"334 eyJzdGF0dXMiOiI0MDAifQ==", "535 no"}),
                ElementsAre("AUTH XOAUTH2 " + coded(token), ""));
    EXPECT_THAT(events,
                Contains(HasSubstr("using mechanism [xoauth2] and oauth secret for [me] from line 1: [no]")));
}

TEST_F(client_auth, oauthbearer_is_for_those_who_name_it) {
    const std::string token = "user=m,e\x01"
                              "auth=Bearer abc\x01\x01";
    file = "client oauth me " + coded(token) + "\n";
    ehlo = "250-x\r\n250 AUTH OAUTHBEARER XOAUTH2\r\n";
    lists = "m:oauthbearer";
    const std::string sent = "n,a=m=2Ce,\x01"
                             "auth=Bearer abc\x01\x01";
    EXPECT_THAT(talk({"235 ok"}), ElementsAre("AUTH OAUTHBEARER " + coded(sent)));
    EXPECT_THAT(talk({"334 e30=", "535 no"}), ElementsAre("AUTH OAUTHBEARER " + coded(sent), coded("\x01")));
    lists = "";
    EXPECT_THAT(talk({"235 ok"}), ElementsAre("AUTH XOAUTH2 " + coded(token)));
}

TEST_F(client_auth, masked_secret) {
    file = "client md5 me qeD38fvADIqBu6rDlXMbVs07p96q1uXKI0SLpC43l0c=\n"; // "secret"
    const std::string answer = "me " + sasl::to_hex(sasl::hmac(sasl::hash_function::md5, "secret", "<1@x>"));
    EXPECT_THAT(talk({"334 " + coded("<1@x>"), "235 ok"}), ElementsAre("AUTH CRAM-MD5", coded(answer)));
    lists = "m:plain";
    EXPECT_THAT(talk({}), ElementsAre());
    EXPECT_THAT(events,
                ElementsAre("session failed with message: cannot do authentication: check for a compatible "
                            "client secret"));
}

TEST_F(client_auth, accounts) {
    EXPECT_THAT(talk({"235 ok"}).size(), 1U);
    selector = "work";
    EXPECT_THAT(talk({}), ElementsAre());
    EXPECT_THAT(
        events,
        ElementsAre("session failed with message: no client authentication account: selector [work]"));
    file += "client plain:b = = work\n";
    EXPECT_THAT(talk({}), ElementsAre());
    EXPECT_THAT(events, ElementsAre("sent", "over"));
    EXPECT_EQ(mail, "MAIL FROM:<s@a>");
    file = "client oauth you AAAA work\nclient plain you other work\n";
    lists = "plain";
    EXPECT_THAT(talk({"235 ok"}), ElementsAre("AUTH PLAIN " + coded("\0you\0other"s)));
    lists = "m:";
    talk({});
    EXPECT_THAT(events, Contains(HasSubstr("client secret with selector [work]")));
    selector = "";
    EXPECT_THAT(talk({}), ElementsAre());
    EXPECT_THAT(events, ElementsAre("sent", "over")); // nobody there for the empty selector
}

TEST_F(client_auth, servers_without_it) {
    ehlo = "250-x\r\n250-AUTH=PLAIN LOGIN\r\n250 8BITMIME\r\n";
    EXPECT_THAT(talk({}), ElementsAre());
    EXPECT_THAT(events, ElementsAre("session failed with message: " + nowhere));
    ehlo = "502 what?\r\n";
    talk({});
    EXPECT_THAT(events, ElementsAre("session failed with message: " + nowhere));
    ehlo = "250-x\r\n250 AUTH NTLM GSSAPI\r\n";
    talk({});
    EXPECT_THAT(events,
                ElementsAre("session failed with message: cannot do authentication: check for a compatible "
                            "client secret"));
    ehlo = "250-x\r\n250-auth ntlm\r\n250 Auth  plain\r\n";
    EXPECT_THAT(talk({"235 ok"}), ElementsAre("AUTH PLAIN " + me));
}

TEST_F(client_auth, auth_parameter) {
    lists = "plain";
    const auto with = [this](std::string out, bool anonymous) {
        message.envelope.mail_from_auth_out = std::move(out);
        settings.anonymous = anonymous;
        talk({"235 ok"});
        return mail.substr(mail.find("> ") + 2);
    };
    EXPECT_EQ(with("", false), "AUTH=me");
    EXPECT_EQ(with("you+20there", false), "AUTH=you+20there");
    EXPECT_EQ(with("+", false), "AUTH=<>");
    EXPECT_EQ(with("<>", false), "AUTH=<>");
    EXPECT_EQ(with("you", true), "AUTH=<>");
    file = "client plain m+20e secret\n";
    EXPECT_EQ(with("", false), "AUTH=m+20e");
}

// A server of ours as the peer, without a network.
class client_scram : public client_auth {
protected:
    client_scram() {
        file = "client plain me secret\n";
        lists = "m:scram-sha-256";
        ehlo = "250-x\r\n250 AUTH SCRAM-SHA-256 PLAIN\r\n";
        on_line = [this](const std::string& line, std::string& answer) {
            serve(line, answer);
        };
    }

    void serve(const std::string& line, std::string& answer) {
        sasl::step now;
        if (line.starts_with("AUTH")) {
            const std::string known = "server plain me " + servers_password;
            by.emplace(sasl::secrets::parse(known).value,
                       std::make_shared<const sasl::mechanism_rules>(
                           sasl::mechanism_rules::parse("m:scram-sha-256", false)),
                       std::make_shared<const base::secret_text>("salt"));
            exchange.emplace(*by, sasl::mechanism::scram_sha_256, sasl::exchange_facts{"", "nonce"});
            now = exchange->begin(*base::base64_decode(line.substr(line.rfind(' ') + 1)));
        } else {
            now = exchange->respond(line == "*" ? "" : *base::base64_decode(line));
        }
        if (std::holds_alternative<sasl::compute>(now)) {
            exchange->compute();
            now = exchange->computed();
        }
        if (const auto* v = std::get_if<sasl::verdict>(&now))
            answer = v->success ? "235 ok" : "535 no";
        else
            answer = "334 " + coded(change(std::get<sasl::challenge>(now).text));
    }

    std::string servers_password = "secret";
    std::function<std::string(std::string)> change = [](std::string text) {
        return text;
    };
    std::optional<sasl::server> by;
    std::optional<sasl::server_exchange> exchange;
};

TEST_F(client_scram, agrees_with_our_server) {
    EXPECT_EQ(talk({}).size(), 3U);
    EXPECT_THAT(events, ElementsAre("sent", "over"));
}

TEST_F(client_scram, wrong_password) {
    servers_password = "other";
    EXPECT_EQ(talk({}).size(), 2U);
    EXPECT_THAT(events, Contains(HasSubstr("[no]")));
}

TEST_F(client_scram, server_that_does_not_know_the_password) {
    change = [](std::string text) {
        return text.starts_with("v=") ? "v=" + coded(std::string(32, 'x')) : text;
    };
    talk({});
    EXPECT_THAT(events, Contains(HasSubstr("authentication failed")));
    // One that leaves the proof out is not believed either.
    on_line = [this](const std::string& line, std::string& answer) {
        serve(line, answer);
        if (answer.starts_with("334 " + coded("v=").substr(0, 2)))
            answer = "235 welcome";
    };
    change = [](std::string text) {
        return text;
    };
    talk({});
    EXPECT_THAT(events, Contains(HasSubstr("the server did not prove who it is")));
}

TEST_F(client_scram, unreasonable_challenges) {
    for (const char* bad : {"", "r=fresh,s=AAAA,i=4096", "r=other,s=AAAA,i=4096", "r=freshx,s=,i=4096",
                            "r=freshx,s=AAAA,i=4095", "r=freshx,s=AAAA,i=1000001", "r=freshx,s=AAAA,i=",
                            "r=freshx,s=!,i=4096", "m=x,r=freshx,s=AAAA,i=4096", "r=freshx,i=4096"}) {
        change = [bad](const std::string&) {
            return std::string(bad);
        };
        EXPECT_EQ(talk({}).back(), "*") << bad;
    }
}

} // namespace
