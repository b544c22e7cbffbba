// Conversations with the POP engine (spec/pop-server.md): each row of its tables, limits, and the property
// that input may be cut anywhere.
#include "pop/server_engine.hpp"

#include "base/base64.hpp"
#include "pop/content_writer.hpp"
#include "sasl/hash.hpp"

#include <gmock/gmock.h>

#include <map>
#include <memory>

using testing::HasSubstr;
using testing::Not;

namespace pop {
namespace {

class log_record : public base::log_sink {
public:
    bool wants(base::severity, base::detail) const noexcept override { return true; }
    void write(base::severity, const base::log_context&, std::string_view text) override {
        lines.append(text).append("\n");
    }
    std::string lines;
};

const std::string challenge = "<1.2@test>";

// Plays the driver and the mailbox.
class client {
public:
    explicit client(server_settings s = {}, std::string_view rules = "",
                    std::string_view secrets = "server plain bob e+3Dmc2\nserver md5 carl " + hashed(),
                    bool tls_first = false)
        : settings(s), engine(settings,
                              {sasl::server(sasl::secrets::parse(secrets).value,
                                            std::make_shared<const sasl::mechanism_rules>(
                                                sasl::mechanism_rules::parse(rules, false)),
                                            std::make_shared<const base::secret_text>("salt")),
                               [] {
                                   return challenge;
                               }},
                              "127.0.0.1:4711", base::logger(log)) {
        messages = {{"emailrelay.1.1.1", "Subject: one\r\n\r\n.dot\r\n"}, {"m2", "two"}};
        if (tls_first)
            engine.tls_established(session);
        engine.start();
        go_on();
        greeting = take();
    }

    static std::string hashed() {
        return base::base64_encode(sasl::hmac_state(sasl::hash_function::md5, "secret").view());
    }

    std::string say(std::string_view text, std::size_t piece = std::string_view::npos) {
        while (!text.empty() && !closed) {
            auto part = text.substr(0, piece);
            text.remove_prefix(part.size());
            const std::unique_ptr<char[]> copy(new char[part.size()]);
            part.copy(copy.get(), part.size());
            engine.feed({copy.get(), part.size()});
            go_on();
        }
        return take();
    }

    std::string ask(std::string_view line) { return say(std::string(line) + "\r\n"); }

    void login() {
        ASSERT_EQ(ask("USER bob"), "+OK user: bob\r\n");
        ASSERT_EQ(ask("PASS e=mc2"), "+OK\r\n");
    }

    std::string take() {
        out += engine.take_output();
        return std::exchange(out, {});
    }

    void go_on() {
        for (;;) {
            action todo = engine.next();
            if (std::holds_alternative<read_more>(todo))
                return;
            if (auto* end = std::get_if<close_session>(&todo)) {
                closed = true;
                aborted = end->abort;
                reason = end->reason;
                return;
            }
            answer(todo);
        }
    }

    void answer(action& todo) {
        if (std::holds_alternative<write_output>(todo)) {
            std::string piece = engine.take_output();
            largest = std::max(largest, piece.size());
            out += piece;
        } else if (std::holds_alternative<start_tls>(todo)) {
            out += engine.take_output() + "[tls]";
            engine.tls_established(session);
        } else if (auto* work = std::get_if<compute>(&todo)) {
            work->job();
            engine.computed();
        } else if (auto* wait = std::get_if<wait_a_while>(&todo)) {
            waited += std::to_string(wait->time.count()) + ";";
            engine.waited();
        } else if (auto* mailbox = std::get_if<open_mailbox>(&todo)) {
            user = mailbox->user;
            message_list list;
            for (const auto& [id, text] : messages)
                list.add(id, text.size());
            engine.mailbox_opened(has_mailbox ? std::optional(std::move(list)) : std::nullopt);
        } else if (auto* message = std::get_if<open_message>(&todo)) {
            auto found = messages.find(message->id);
            if (found != messages.end())
                left = found->second;
            engine.message_opened(found != messages.end());
        } else if (std::holds_alternative<read_content>(todo) && left.size() <= unreadable) {
            engine.content_failed();
        } else if (std::holds_alternative<read_content>(todo)) {
            auto piece = left.substr(0, content_piece);
            left.erase(0, piece.size());
            engine.content(piece, left.empty());
        } else if (auto* ids = std::get_if<delete_messages>(&todo)) {
            for (const std::string& id : ids->ids)
                deleted += id + ";";
            engine.deleted(can_delete);
        }
    }

    base::tls_session session;
    log_record log;
    server_settings settings;
    server_engine engine;
    std::string greeting, out, reason, user, waited, deleted, left;
    std::map<std::string, std::string> messages;
    std::size_t content_piece = 65536, largest = 0;
    std::size_t unreadable = 0; // octets at the end of a message
    bool closed = false, aborted = false, has_mailbox = true, can_delete = true;
};

server_settings with_tls(bool required = false) {
    server_settings s;
    s.stls = true;
    s.tls_required = required;
    return s;
}

const std::string plain_bob = base::base64_encode(std::string("\0bob\0e=mc2", 10));

} // namespace

TEST(pop_engine, before_the_login) {
    client c;
    EXPECT_EQ(c.greeting, "+OK POP3 server ready <1.2@test>\r\n");
    for (std::string_view verb :
         {"STAT", "LIST", "UIDL", "RETR 1", "TOP 1 1", "DELE 1", "RSET", "NOOP", "LAST", "rubbish"})
        EXPECT_EQ(client().ask(verb), "-ERR\r\n") << verb;
    EXPECT_EQ(c.ask("auth"),
              "+OK\r\nCRAM-SHA512\r\nCRAM-SHA256\r\nCRAM-SHA1\r\nCRAM-MD5\r\nPLAIN\r\nLOGIN\r\n.\r\n");
    EXPECT_EQ(c.ask("user bob"), "+OK user: bob\r\n");
    EXPECT_EQ(c.ask("STLS"), "-ERR\r\n");
    EXPECT_EQ(c.say("quit\r\nNOOP\r\n"), "+OK signing off\r\n");
    EXPECT_EQ(c.reason, "pop protocol done");
    EXPECT_EQ(c.deleted, "");
}

TEST(pop_engine, capabilities) {
    client c(with_tls());
    const std::string capa = c.ask("CAPA");
    EXPECT_THAT(capa, testing::StartsWith(
                          "+OK capability list follows\r\nUSER\r\nCAPA\r\nTOP\r\nUIDL\r\nSTLS\r\nSASL "));
    EXPECT_THAT(capa, Not(HasSubstr("APOP")));
    c.login();
    EXPECT_EQ(c.ask("CAPA"), capa) << "the same after the login";
    EXPECT_EQ(c.ask("AUTH"), "-ERR\r\n");
    EXPECT_EQ(c.ask("USER x"), "-ERR\r\n");
    EXPECT_EQ(c.ask("STLS"), "-ERR\r\n");
}

TEST(pop_engine, secrets_of_a_client_that_does_not_wait_are_not_logged) {
    const std::string secret = base::base64_encode("e=mc2"), name = base::base64_encode("bob");
    client refused({}, "m:cram-md5");
    EXPECT_EQ(refused.say("AUTH LOGIN\r\n" + name + "\r\n" + secret + "\r\nCAPA\r\n").substr(0, 36),
              "-ERR invalid mechanism\r\n-ERR\r\n-ERR\r\n");
    EXPECT_EQ(refused.ask("something else"), "-ERR\r\n");
    EXPECT_THAT(refused.log.lines, Not(HasSubstr(secret)));
    EXPECT_THAT(refused.log.lines, HasSubstr("rx<<: \"[not logged]\""));
    EXPECT_THAT(refused.log.lines, HasSubstr("rx<<: \"something else\""));
    client cancelled;
    EXPECT_EQ(cancelled.say("AUTH LOGIN\r\n*\r\n" + secret + "\r\n"), "+ VXNlcm5hbWU6\r\n-ERR\r\n-ERR\r\n");
    EXPECT_THAT(cancelled.log.lines, Not(HasSubstr(secret)));
}

TEST(pop_engine, logins) {
    client user;
    user.login();
    EXPECT_EQ(user.user, "bob");
    EXPECT_THAT(user.log.lines, HasSubstr("rx<<: \"PASS [password not logged]\""));
    EXPECT_THAT(user.log.lines, Not(HasSubstr("e=mc2")));
    EXPECT_THAT(user.log.lines, Not(HasSubstr("pop authentication of")));

    client apop;
    EXPECT_EQ(apop.ask("APOP bob " + sasl::to_hex(sasl::digest(sasl::hash_function::md5, challenge + "x"))),
              "-ERR\r\n");
    EXPECT_EQ(apop.waited, "1;");
    EXPECT_EQ(
        apop.ask("APOP bob " + sasl::to_hex(sasl::digest(sasl::hash_function::md5, challenge + "e=mc2"))),
        "+OK\r\n");

    client plain;
    EXPECT_EQ(plain.ask("AUTH PLAIN " + plain_bob), "+OK\r\n");
    EXPECT_THAT(plain.log.lines, HasSubstr("pop authentication of bob connected from 127.0.0.1:4711\n"));
    EXPECT_THAT(plain.log.lines, Not(HasSubstr(plain_bob)));
    client later;
    EXPECT_EQ(later.ask("AUTH plain"), "+ \r\n");
    EXPECT_EQ(later.ask(plain_bob), "+OK\r\n");
    EXPECT_THAT(later.log.lines, HasSubstr("rx<<: \"[authentication response not logged]\""));
    client equals;
    EXPECT_EQ(equals.ask("AUTH PLAIN ="), "+ \r\n");

    client login;
    EXPECT_EQ(login.ask("AUTH LOGIN"), "+ VXNlcm5hbWU6\r\n");
    EXPECT_EQ(login.ask(base::base64_encode("bob")), "+ UGFzc3dvcmQ6\r\n");
    EXPECT_EQ(login.ask(base::base64_encode("e=mc2")), "+OK\r\n");

    client cram;
    EXPECT_EQ(cram.ask("AUTH CRAM-MD5 xx"), "-ERR invalid initial response\r\n");
    EXPECT_EQ(cram.ask("AUTH CRAM-MD5"), "+ " + base::base64_encode(challenge) + "\r\n");
    const std::string answer =
        "carl " + sasl::to_hex(sasl::hmac(sasl::hash_function::md5, "secret", challenge));
    EXPECT_EQ(cram.ask(base::base64_encode(answer)), "+OK\r\n");
    EXPECT_EQ(cram.user, "carl");
}

TEST(pop_engine, logins_that_fail) {
    client c;
    EXPECT_EQ(c.ask("PASS e=mc2"), "-ERR\r\n") << "without USER";
    EXPECT_EQ(c.ask("USER bob"), "+OK user: bob\r\n");
    EXPECT_EQ(c.ask("PASS e=mc2 more"), "-ERR\r\n");
    EXPECT_EQ(c.waited, "");
    EXPECT_EQ(c.ask("PASS wrong"), "-ERR\r\n");
    EXPECT_EQ(c.ask("AUTH PLAIN"), "+ \r\n");
    EXPECT_EQ(c.ask("*"), "-ERR\r\n");
    EXPECT_EQ(c.ask("AUTH PLAIN"), "+ \r\n");
    EXPECT_EQ(c.ask("QUIT"), "-ERR\r\n") << "taken as the response";
    EXPECT_EQ(c.waited, "1;2;4;");
    EXPECT_EQ(c.ask("AUTH NONE"), "-ERR invalid mechanism\r\n");
    EXPECT_EQ(c.ask("AUTH PLAIN ###"), "-ERR\r\n");
    EXPECT_EQ(c.ask("APOP bob x"), "-ERR\r\n") << "no more after PASS";
    EXPECT_THAT(c.log.lines,
                HasSubstr("failed authentication of remote client using mechanism [plain] and "));
    client none;
    none.has_mailbox = false;
    EXPECT_EQ(none.ask("AUTH PLAIN " + plain_bob), "-ERR\r\n");
    EXPECT_EQ(none.ask("STAT"), "-ERR\r\n");
}

TEST(pop_engine, no_login_in_clear) {
    for (bool by_rules : {true, false}) {
        client c(with_tls(!by_rules), by_rules ? "m:;a:plain" : "");
        EXPECT_EQ(c.greeting, "+OK POP3 server ready\r\n");
        EXPECT_EQ(c.ask("USER bob"), "-ERR no SASL PLAIN mechanism to do USER/PASS authentication\r\n");
        EXPECT_EQ(c.ask("AUTH PLAIN " + plain_bob), "-ERR must use STLS before authentication\r\n");
        EXPECT_EQ(c.ask("APOP bob x"), "-ERR\r\n");
        EXPECT_EQ(c.ask("CAPA"), "+OK capability list follows\r\nCAPA\r\nTOP\r\nUIDL\r\nSTLS\r\n.\r\n");
        EXPECT_EQ(c.say("STLS\r\nUSER injected\r\n"), "+OK\r\n[tls]") << "nothing survives, nothing is said";
        EXPECT_EQ(c.ask("STLS"), "-ERR\r\n");
        EXPECT_THAT(c.ask("CAPA"), Not(HasSubstr("STLS")));
        EXPECT_EQ(c.ask("AUTH PLAIN " + plain_bob), "+OK\r\n");
    }
}

// What came in clear behind STLS is dropped, cut wherever it may be, and with it the beginning of a line.
TEST(pop_engine, nothing_received_in_clear_survives_stls) {
    const std::string sent = "USER early\r\nSTLS\r\nUSER mallory\r\nPASS e=mc2\r\nDELE";
    client c(with_tls());
    EXPECT_EQ(c.say(sent), "+OK user: early\r\n+OK\r\n[tls]");
    EXPECT_EQ(c.ask("PASS e=mc2"), "-ERR\r\n") << "no name is left";
    EXPECT_EQ(c.ask("APOP bob " + sasl::to_hex(sasl::digest(sasl::hash_function::md5, challenge + "e=mc2"))),
              "-ERR\r\n")
        << "nor APOP, after PASS";
    c.login();
    client begun(with_tls());
    EXPECT_EQ(begun.say("STLS\r\nUSER mal"), "+OK\r\n[tls]");
    EXPECT_EQ(begun.ask("NOOP"), "-ERR\r\n") << "a line of its own";
    EXPECT_THAT(begun.log.lines, Not(HasSubstr("mal")));
    client after_login(with_tls());
    after_login.login();
    EXPECT_EQ(after_login.say("STLS\r\nSTAT\r\n"), "-ERR\r\n+OK 2 25\r\n") << "only before the login";
}

TEST(pop_engine, tls_from_the_first_octet) {
    client c(with_tls(true), "", "server plain bob e+3Dmc2", true);
    EXPECT_EQ(c.greeting, "+OK POP3 server ready <1.2@test>\r\n");
    EXPECT_THAT(c.ask("CAPA"), Not(HasSubstr("STLS")));
    EXPECT_EQ(c.ask("STLS"), "-ERR\r\n");
    c.login();
}

// SCRAM with a channel binding is there where the lists name it and TLS gives something to bind to.
TEST(pop_engine, logins_are_bound_to_the_connection) {
    const std::string rules = "m:scram-sha-256-plus,scram-sha-256";
    client in_clear(with_tls(), rules);
    EXPECT_EQ(in_clear.ask("AUTH"), "+OK\r\nSCRAM-SHA-256\r\n.\r\n");
    EXPECT_EQ(in_clear.ask("AUTH SCRAM-SHA-256-PLUS"), "-ERR invalid mechanism\r\n");
    client bound(with_tls(), rules);
    bound.session.exporter = "0123456789";
    EXPECT_EQ(bound.ask("STLS"), "+OK\r\n[tls]");
    EXPECT_EQ(bound.ask("AUTH"), "+OK\r\nSCRAM-SHA-256-PLUS\r\nSCRAM-SHA-256\r\n.\r\n");
    const std::string first = base::base64_encode("p=tls-exporter,,n=bob,r=abc");
    EXPECT_THAT(bound.ask("AUTH SCRAM-SHA-256-PLUS " + first), testing::StartsWith("+ "));
    client unbound(with_tls(), rules);
    EXPECT_EQ(unbound.ask("STLS"), "+OK\r\n[tls]");
    EXPECT_EQ(unbound.ask("AUTH"), "+OK\r\nSCRAM-SHA-256\r\n.\r\n");
}

// A buffer that a password, or its beginning, has been in is known to the driver.
TEST(pop_engine, tells_when_a_secret_was_there) {
    client c;
    c.engine.took_secret();
    c.ask("USER bob");
    EXPECT_FALSE(c.engine.took_secret());
    c.say("PASS e=");
    EXPECT_TRUE(c.engine.took_secret());
    c.say("mc2\r\n");
    EXPECT_TRUE(c.engine.took_secret());
    c.ask("STAT");
    EXPECT_FALSE(c.engine.took_secret());
}

TEST(pop_engine, transaction) {
    client c;
    c.login();
    const std::string size = std::to_string(c.messages["emailrelay.1.1.1"].size());
    struct row {
        std::string said, reply;
    };
    for (const row& r : std::initializer_list<row>{
             {"STAT", "+OK 2 25\r\n"},
             {"LIST", "+OK 2 message(s)\r\n1 " + size + "\r\n2 3\r\n.\r\n"},
             {"list 1", "+OK 1 " + size + "\r\n"},
             {"LIST 3", "-ERR invalid id\r\n"},
             {"LIST 0", "-ERR invalid id\r\n"},
             {"LIST x", "-ERR invalid id\r\n"},
             {"UIDL", "+OK 2 message(s)\r\n1 emailrelay.1.1.1.content\r\n2 m2.content\r\n.\r\n"},
             {"UIDL 2", "+OK 2 m2.content\r\n"},
             {"UIDL 9", "-ERR invalid id\r\n"},
             {"RETR 1", "+OK " + size + " octets\r\nSubject: one\r\n\r\n..dot\r\n.\r\n"},
             {"RETR 2", "+OK 3 octets\r\ntwo\r\n.\r\n"},
             {"RETR", "-ERR\r\n"},
             {"RETR 3", "-ERR\r\n"},
             {"TOP 1 0", "+OK\r\nSubject: one\r\n\r\n.\r\n"},
             {"TOP 1 1", "+OK\r\nSubject: one\r\n\r\n..dot\r\n.\r\n"},
             {"TOP 1", "-ERR\r\n"},
             {"TOP 1 -1", "-ERR\r\n"},
             {"TOP 3 1", "-ERR\r\n"},
             {"NOOP", "+OK\r\n"},
             {"LAST", "-ERR\r\n"},
             {"DELE 1", "+OK\r\n"},
             {"DELE 1", "-ERR\r\n"},
             {"RETR 1", "-ERR\r\n"},
             {"STAT", "+OK 1 3\r\n"},
             {"LIST", "+OK 1 message(s)\r\n2 3\r\n.\r\n"},
             {"UIDL", "+OK 1 message(s)\r\n2 m2.content\r\n.\r\n"},
             {"RSET", "+OK\r\n"},
             {"STAT", "+OK 2 25\r\n"},
             {"DELE 2", "+OK\r\n"},
         }) {
        EXPECT_EQ(c.ask(r.said), r.reply) << r.said;
    }
    EXPECT_EQ(c.ask("QUIT"), "+OK signing off\r\n");
    EXPECT_EQ(c.deleted, "m2;");
}

TEST(pop_engine, what_goes_wrong_in_the_mailbox) {
    client c;
    c.login();
    c.messages.erase("m2");
    EXPECT_EQ(c.ask("RETR 2"), "-ERR\r\n") << "vanished";
    EXPECT_EQ(c.ask("NOOP"), "+OK\r\n");
    EXPECT_EQ(c.ask("DELE 2"), "+OK\r\n");
    c.can_delete = false;
    EXPECT_EQ(c.ask("QUIT"), "-ERR some messages were not deleted\r\n");
    EXPECT_EQ(c.reason, "cannot delete message file");
}

// Half a message must not look like a whole one: there is no end to it, and the session is over.
TEST(pop_engine, a_message_that_cannot_be_read_to_its_end) {
    client c;
    c.login();
    c.content_piece = 10;
    c.unreadable = 5;
    const std::string said = c.say("RETR 1\r\nNOOP\r\n");
    EXPECT_EQ(said, "+OK 22 octets\r\nSubject: one\r\n\r\n..dot");
    EXPECT_TRUE(c.closed && c.aborted);
    EXPECT_EQ(c.reason, "cannot read message file");
}

TEST(pop_engine, limits) {
    client many;
    std::string all;
    for (int i = 0; i < 30; ++i)
        all += many.ask("rubbish");
    EXPECT_TRUE(many.closed);
    std::string wanted;
    for (int i = 0; i < 19; ++i)
        wanted += "-ERR\r\n";
    EXPECT_EQ(all, wanted + "-ERR too many errors\r\n");
    client lengthy;
    EXPECT_EQ(lengthy.ask("USER " + std::string(4092, 'x')), "-ERR line too long\r\n");
    EXPECT_EQ(lengthy.ask(std::string(1 << 20, 'x')), "-ERR line too long\r\n");
    EXPECT_EQ(lengthy.ask("AUTH PLAIN " + std::string(10'000, 'A')), "-ERR\r\n") << "longer lines for AUTH";
    client bare;
    EXPECT_EQ(bare.say("QUIT\n"), "") << "a bare LF does not end a command";
    EXPECT_EQ(bare.say("\r\n"), "-ERR\r\n");
}

TEST(pop_engine, large_answers_come_in_pieces) {
    client c;
    for (int i = 0; i < 50'000; ++i)
        c.messages["emailrelay.12345.1795326031." + std::to_string(100'000 + i)] = "x";
    c.messages["large"] = std::string(3 << 20, '.');
    c.login();
    const std::string list = c.ask("UIDL");
    EXPECT_EQ(std::count(list.begin(), list.end(), '\n'), 50'005);
    EXPECT_GT(c.ask("RETR 50002").size(), 3U << 20);
    EXPECT_LE(c.largest, 256U * 1024);
}

TEST(pop_engine, input_may_be_cut_anywhere) {
    std::string all = "CAPA\r\nUSER bob\r\nPASS wrong\r\nAUTH LOGIN\r\nYm9i\r\n" +
                      base::base64_encode("e=mc2") +
                      "\r\nSTAT\r\nTOP 1 1\r\nRETR 2\r\nDELE 1\r\nUIDL\r\nQUIT\r\n";
    client whole;
    const std::string wanted = whole.say(all);
    EXPECT_THAT(wanted, testing::EndsWith("+OK signing off\r\n"));
    for (std::size_t piece = 1; piece < 20; ++piece) {
        client cut;
        cut.content_piece = piece;
        EXPECT_EQ(cut.say(all, piece), wanted) << piece;
        EXPECT_EQ(cut.deleted, "emailrelay.1.1.1;");
    }
}

TEST(pop_content, lines_and_dots) {
    struct row {
        std::string content;
        std::optional<std::uint64_t> lines;
        std::string sent;
    };
    for (const row& r : std::initializer_list<row>{
             {"", std::nullopt, ".\r\n"},
             {".", std::nullopt, "..\r\n.\r\n"},
             {"a\r", std::nullopt, "a\r\n.\r\n"},
             {"\r", std::nullopt, "\r\n.\r\n"},
             {"a\n.b\r\n", std::nullopt, "a\n..b\r\n.\r\n"},
             {"a\n.\nb", std::nullopt, "a\n..\nb\r\n.\r\n"},
             {"a\n\r\r.\n\r.", std::nullopt, "a\n\r\r..\n\r..\r\n.\r\n"},
             {"\r.\r\na\r.\r\n", std::nullopt, "\r..\r\na\r.\r\n.\r\n"},
             {"a\n.\nb\r\n\r\nc\n.\nd\r\ne\r\n", 1, "a\n..\nb\r\n\r\nc\n..\nd\r\n.\r\n"},
             {"a\r\n\r\n.b\r\nc\r\n", 1, "a\r\n\r\n..b\r\n.\r\n"},
             {"a\r\n\r\nb\r\nc\r\n", 9, "a\r\n\r\nb\r\nc\r\n.\r\n"},
             {"a\r\n\r\nb", 0, "a\r\n\r\n.\r\n"},
             {"a\r\nb", 0, "a\r\nb\r\n\r\n.\r\n"},
             {"\r\nbody\r\n", 0, "\r\n.\r\n"},
         }) {
        for (std::size_t piece = 1; piece < 6; ++piece) {
            content_writer writer(r.lines);
            std::string sent;
            for (std::size_t at = 0; at < r.content.size(); at += piece)
                writer.add(std::string_view(r.content).substr(at, piece), sent);
            writer.finish(sent);
            EXPECT_EQ(sent, r.sent) << r.content;
        }
    }
}

} // namespace pop
