// Conversations for every row of spec/smtp-server.md sections 1 to 5, 7 and 8.
//
// A conversation is written down with what each side does: "C: " a line from the client (CR-LF is added), "R:
// " raw octets from it, "S: " a reply line, "A: " an action. play() has it in step first, then with all input
// at once, octet by octet, and cut in two at every place: the record must be the same each time.
#include "smtp/server_engine.hpp"

#include "smtp/server_recorder_test.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

using namespace std::string_literals;
using smtp::testing::server_recorder;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

namespace {

using lines = std::vector<std::string>;

lines operator+(lines a, const lines& b) {
    a.insert(a.end(), b.begin(), b.end());
    return a;
}

lines operator*(int times, const lines& a) {
    lines out;
    for (; times > 0; --times)
        out = std::move(out) + a;
    return out;
}

class server_engine : public ::testing::Test {
protected:
    server_engine() {
        settings.domain = "test.example.com";
        settings.version = "2.6.1";
        settings.anonymous_content = true; // the Received line has tests of its own
    }

    std::unique_ptr<server_recorder> recorder() const {
        settings.syntax_hint_given->store(false);
        auto r = std::make_unique<server_recorder>(settings, peer, available);
        r->outcomes = outcomes;
        return r;
    }

    static bool is_sent(const std::string& line) {
        return line.starts_with("C: ") || line.starts_with("R: ");
    }

    static std::string octets_of(const std::string& line) {
        return line.substr(3) + (line[0] == 'C' ? "\r\n" : "");
    }

    // Checks the conversation in all ways and leaves the one in step in `last`.
    void play(const lines& conversation) {
        lines expected;
        std::string input;
        for (const std::string& line : conversation) {
            if (is_sent(line))
                input += octets_of(line);
            else
                expected.push_back(line);
        }

        auto in_step = recorder();
        std::size_t reached = 0;
        for (const std::string& line : conversation) {
            if (is_sent(line)) {
                ASSERT_EQ(in_step->record.size(), reached) << "more than expected before " << line;
                in_step->feed(octets_of(line));
            } else {
                ASSERT_LT(reached, in_step->record.size()) << "nothing where expected: " << line;
                ASSERT_EQ(in_step->record[reached++], line);
            }
        }
        ASSERT_EQ(in_step->record, expected);

        expect_same(*in_step, {input});
        lines octets;
        for (char c : input)
            octets.emplace_back(1, c);
        expect_same(*in_step, octets);
        for (std::size_t at = 1; at < input.size() && !HasFailure(); ++at)
            expect_same(*in_step, {input.substr(0, at), input.substr(at)});
        last = std::move(in_step);
    }

    void expect_same(const server_recorder& reference, const lines& pieces) {
        const auto other = recorder();
        for (const std::string& piece : pieces)
            other->feed(piece);
        ASSERT_EQ(other->record, reference.record) << "cut behind " << pieces.front().size();
        ASSERT_EQ(other->envelopes, reference.envelopes);
        ASSERT_EQ(other->contents, reference.contents);
        ASSERT_EQ(other->log.lines, reference.log.lines);
    }

    lines greeting() const { return {"S: 220 test.example.com -- E-MailRelay V2.6.1 -- Service ready"}; }
    lines hello() const { return greeting() + lines{"C: HELO client", "S: 250 hello"}; }
    lines sender() const {
        return hello() + lines{"C: MAIL FROM:<a@b>", "S: 250 sender <a@b> OK", "A: begin"};
    }
    lines recipient() const {
        return sender() + lines{"C: RCPT TO:<x@y>", "A: check x@y from a@b", "S: 250 recipient <x@y> OK"};
    }
    lines data() const {
        return recipient() + lines{"C: DATA", "A: open", "S: 354 start mail input -- end with <CRLF>.<CRLF>"};
    }
    lines processed(const std::string& content) const {
        return {"A: content " + content, "A: commit", "S: 250 message processed"};
    }

    smtp::server_settings settings;
    smtp::peer_info peer{"192.0.2.1", false};
    bool available = true;
    std::deque<smtp::commit_outcome> outcomes;
    std::unique_ptr<server_recorder> last;
};

const lines unrecognized{"S: 500 command unrecognized"};
const lines sequence{"S: 503 command out of sequence -- use RSET to resynchronise"};
const lines too_many_errors{"A: close: too many protocol errors from the client"};
const lines start_mail_input{"S: 354 start mail input -- end with <CRLF>.<CRLF>"};

} // namespace

// ---- sections 1 and 8: greeting, disabled sessions

TEST_F(server_engine, greets) {
    play(greeting());
}

TEST_F(server_engine, greets_anonymously) {
    settings.anonymous_server = true;
    play({"S: 220 greeting", "C: EHLO x", "S: 250-smtp says hello", "S: 250-VRFY", "S: 250-PIPELINING",
          "S: 250 8BITMIME"});
}

TEST_F(server_engine, disabled_session_refuses_each_sender_and_stays) {
    available = false;
    play({"S: 421 service not available",
          "C: EHLO x",
          "S: 250-test.example.com says hello",
          "S: 250-VRFY",
          "S: 250-PIPELINING",
          "S: 250 8BITMIME",
          "C: MAIL FROM:<a@b>",
          "S: 421 service not available",
          "C: MAIL nonsense",
          "S: 421 service not available",
          "C: NOOP",
          "S: 250 noop",
          "C: VRFY a",
          "A: verify a",
          "S: 252 cannot verify but will accept: a",
          "C: RSET",
          "S: 250 state reset",
          "C: QUIT",
          "S: 221 OK",
          "A: close: smtp protocol done"});
}

TEST_F(server_engine, disabled_comes_before_anonymous) {
    available = false;
    settings.anonymous_server = true;
    play({"S: 421 service not available"});
}

// ---- section 2: grammar

TEST_F(server_engine, verbs_are_words_of_any_case_behind_any_blanks) {
    play(greeting() +
         lines{"C: \t helo\tclient \t", "S: 250 hello", "C: nOOp", "S: 250 noop", "C:   rset ",
               "S: 250 state reset", "C: MAIL   \t from:<a@b>", "S: 250 sender <a@b> OK", "A: begin",
               "C: rcpt tO:  <x@y>", "A: check x@y from a@b", "S: 250 recipient <x@y> OK", "C: data\t",
               "A: open"} +
         start_mail_input);
}

TEST_F(server_engine, trailing_text_is_ignored) {
    play(data() + lines{"C: ."} + processed("") +
         lines{"C: NOOP x y", "S: 250 noop", "C: RSET x", "S: 250 state reset", "C: HELP me",
               "S: 502 command not implemented", "C: MAIL FROM:<a@b>", "S: 250 sender <a@b> OK", "A: begin",
               "C: RCPT TO:<x@y>", "A: check x@y from a@b", "S: 250 recipient <x@y> OK", "C: DATA now",
               "A: open"} +
         start_mail_input + lines{"C: ."} + processed("") +
         lines{"C: QUIT x", "S: 221 OK", "A: close: smtp protocol done"});
}

TEST_F(server_engine, only_crlf_ends_a_line) {
    play(greeting() + lines{"R: NOOP\n\rNOOP\r\n"} + unrecognized +
         lines{"R: HELO a\nb\rc\r\n", "S: 250 hello"} +
         lines{"R: NOOP x\r\r\n", "S: 250 noop", "R: NOOP\r\r\n"} + unrecognized);
}

TEST_F(server_engine, unknown_commands) {
    const lines bad{"C: ", "C: \t ", "C: FOO", "C: NOOPS", "C: STARTTLS", "C: BDAT 5", "R: \0NOOP\r\n"s};
    lines conversation = greeting();
    for (const std::string& line : bad)
        conversation = conversation + lines{line} + unrecognized;
    play(conversation);
}

TEST_F(server_engine, http_methods_end_the_session_when_they_come_first) {
    for (const char* method :
         {"GET", "POST", "PUT", "HEAD", "OPTIONS", "CONNECT", "DELETE", "PATCH", "TRACE"})
        play(greeting() + lines{"C: "s + method + " / HTTP/1.1"} + unrecognized +
             lines{"A: close: http request"});
    play(hello() + lines{"C: GET / HTTP/1.1"} + unrecognized + lines{"C: NOOP", "S: 250 noop"});
    play(greeting() + lines{"C: POST /" + std::string(5000, 'a') + " HTTP/1.1"} + unrecognized +
         lines{"A: close: http request"});
    play(greeting() +
         lines{"C: POSTAL " + std::string(5000, 'a'), "S: 500 line too long", "C: NOOP", "S: 250 noop"});
    play(hello() + lines{"C: POST /" + std::string(5000, 'a') + " HTTP/1.1", "S: 500 line too long",
                         "C: NOOP", "S: 250 noop"});
    play(greeting() + lines{"C: get / HTTP/1.1"} + unrecognized + lines{"C: NOOP", "S: 250 noop"});
}

TEST_F(server_engine, what_follows_an_http_request_is_not_executed) {
    server_recorder r(settings);
    r.feed("POST / HTTP/1.1\r\nHELO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<x@y>\r\nDATA\r\n");
    EXPECT_THAT(r.record, ElementsAre(greeting()[0], unrecognized[0], "A: close: http request"));
}

TEST_F(server_engine, replies_escape_control_characters_and_backslashes_and_keep_utf8) {
    play(hello() + lines{"C: MAIL FROM:<\"a\\\"b\"@c>", "S: 250 sender <\"a\\\\\"b\"@c> OK", "A: begin",
                         "C: RCPT TO:<b\u00fcr@y>", "A: check b\u00fcr@y from \"a\\\"b\"@c",
                         "S: 250 recipient <b\u00fcr@y> OK", "C: RCPT TO:<reject@y>",
                         "A: check reject@y from \"a\\\"b\"@c", "S: 550 no such\\tuser"});
    play(greeting() + lines{"R: VRFY a\tb\x7f\\\r\n", "A: verify a\tb\x7f\\",
                            "S: 252 cannot verify but will accept: a\\tb\\x7f\\\\"});
    outcomes = {{550, "bad\r\n\x1b[2J\\"}};
    play(data() + lines{"C: .", "A: content ", "A: commit", "S: 550 bad\\r\\n\\x1b[2J\\\\"});
}

// ---- section 3: states

TEST_F(server_engine, one_message) {
    play(data() + lines{"C: Subject: x", "C: ", "C: hello", "C: ."} +
         processed("Subject: x\\r\\n\\r\\nhello\\r\\n") +
         lines{"C: QUIT", "S: 221 OK", "A: close: smtp protocol done"});
    ASSERT_EQ(last->envelopes.size(), 1U);
    mail::envelope expected;
    expected.from = "a@b";
    expected.to_remote = {"x@y"};
    expected.client = "192.0.2.1";
    EXPECT_EQ(last->envelopes[0], expected);
}

TEST_F(server_engine, several_messages_share_nothing) {
    play(hello() +
         lines{"C: MAIL FROM:<\u00e4@b> BODY=8BITMIME AUTH=u SMTPUTF8", "S: 250 sender <\u00e4@b> OK",
               "A: begin", "C: RCPT TO:<local@y>", "A: check local@y from \u00e4@b",
               "S: 250 recipient <local@y>  OK", "C: RCPT TO:<x@y>", "A: check x@y from \u00e4@b",
               "S: 250 recipient <x@y> OK", "C: DATA", "A: open"} +
         start_mail_input + lines{"C: one", "C: ."} + processed("one\\r\\n") +
         lines{"C: MAIL FROM:<>", "S: 250 sender <> OK", "A: begin", "C: RCPT TO:<z@y>", "A: check z@y from ",
               "S: 250 recipient <z@y> OK", "C: DATA", "A: open"} +
         start_mail_input + lines{"C: two", "C: ."} + processed("two\\r\\n"));
    ASSERT_EQ(last->envelopes.size(), 2U);
    mail::envelope first;
    first.content = mail::body_type::eight_bit;
    first.from = "\u00e4@b";
    first.to_local = {"mailbox"};
    first.to_remote = {"x@y"};
    first.mail_from_auth_in = "u";
    first.client = "192.0.2.1";
    first.utf8_mailboxes = true;
    EXPECT_EQ(last->envelopes[0], first);
    mail::envelope second;
    second.to_remote = {"z@y"};
    second.client = "192.0.2.1";
    EXPECT_EQ(last->envelopes[1], second);
}

TEST_F(server_engine, before_hello_only_some_verbs_work) {
    settings.max_errors = 0;
    settings.chunking = true;
    for (const char* verb : {"MAIL FROM:<a@b>", "RCPT TO:<a@b>", "DATA", "AUTH PLAIN", "BDAT 0 LAST"})
        play(greeting() + lines{"C: "s + verb} + sequence);
    play(greeting() + lines{"C: RSET", "S: 250 state reset", "C: MAIL FROM:<a@b>"} + sequence +
         lines{"C: NOOP", "S: 250 noop", "C: EXPN x", "S: 502 command not implemented", "C: HELP",
               "S: 502 command not implemented", "C: VRFY a", "A: verify a",
               "S: 252 cannot verify but will accept: a", "C: QUIT", "S: 221 OK",
               "A: close: smtp protocol done"});
}

TEST_F(server_engine, hello_needs_a_name) {
    play(greeting() +
         lines{"C: HELO", "S: 501 parameter required", "C: EHLO  ", "S: 501 parameter required",
               "C: MAIL FROM:<a@b>"} +
         sequence);
    play(recipient() +
         lines{"C: EHLO", "S: 501 parameter required", "C: HELO\t", "S: 501 parameter required", "C: DATA",
               "A: open"} +
         start_mail_input);
}

TEST_F(server_engine, idle_verbs_out_of_sequence) {
    for (const char* verb : {"RCPT TO:<x@y>", "DATA"})
        play(hello() + lines{"C: "s + verb} + sequence);
}

TEST_F(server_engine, verbs_out_of_sequence_leave_the_transaction_alone) {
    settings.chunking = true;
    for (const char* verb : {"MAIL FROM:<c@d>", "AUTH PLAIN", "auth LOGIN x"}) {
        play(sender() + lines{"C: "s + verb} + sequence +
             lines{"C: RCPT TO:<x@y>", "A: check x@y from a@b", "S: 250 recipient <x@y> OK"});
        play(recipient() + lines{"C: "s + verb} + sequence + lines{"C: DATA", "A: open"} + start_mail_input);
    }
}

TEST_F(server_engine, each_hello_and_rset_ends_the_transaction) {
    const lines ways[] = {{"C: HELO again", "A: discard", "S: 250 hello"},
                          {"C: EHLO again", "A: discard", "S: 250-test.example.com says hello", "S: 250-VRFY",
                           "S: 250-PIPELINING", "S: 250 8BITMIME"},
                          {"C: RSET", "A: discard", "S: 250 state reset"}};
    for (lines way : ways) {
        std::rotate(way.begin() + 1, way.begin() + 2,
                    way.end()); // the reply is queued before the driver is told
        play(sender() + way + lines{"C: RCPT TO:<x@y>"} + sequence);
        play(recipient() + way + lines{"C: DATA"} + sequence +
             lines{"C: MAIL FROM:<c@d>", "S: 250 sender <c@d> OK", "A: begin", "C: DATA",
                   "S: 554 no valid recipients", "A: discard"});
    }
}

TEST_F(server_engine, data_without_recipient_ends_the_transaction) {
    play(sender() + lines{"C: DATA", "S: 554 no valid recipients", "A: discard", "C: RCPT TO:<x@y>"} +
         sequence + lines{"C: MAIL FROM:<a@b>", "S: 250 sender <a@b> OK", "A: begin"});
}

TEST_F(server_engine, quit_gives_up_the_message) {
    play(recipient() + lines{"C: QUIT", "S: 221 OK", "A: discard", "A: close: smtp protocol done"});
    play(greeting() + lines{"C: QUIT", "S: 221 OK", "A: close: smtp protocol done"});
}

TEST_F(server_engine, nothing_is_read_behind_quit) {
    server_recorder r(settings);
    r.feed("QUIT\r\nNOOP\r\nHELO x\r\n");
    EXPECT_THAT(r.record, ElementsAre(greeting()[0], "S: 221 OK", "A: close: smtp protocol done"));
}

TEST_F(server_engine, expn_and_help_are_not_implemented_anywhere) {
    for (const char* verb : {"EXPN list", "HELP", "HELP MAIL", "EXPN"})
        for (const lines& before : {greeting(), hello(), sender(), recipient()})
            play(before + lines{"C: "s + verb, "S: 502 command not implemented"});
}

TEST_F(server_engine, auth_is_not_configured) {
    play(hello() + 3 * lines{"C: AUTH PLAIN AGJvYgBwdw==", "S: 502 command not implemented"});
    EXPECT_THAT(last->log.lines,
                Contains("warning: client protocol error: AUTH requested but not advertised"));
    EXPECT_THAT(last->log.lines, Contains("info: rx<<: \"AUTH PLAIN [not logged]\""));
    EXPECT_THAT(last->log.lines, Not(Contains(HasSubstr("AGJv"))));
}

TEST_F(server_engine, a_pipelined_group_gets_its_replies_in_order) {
    server_recorder r(settings);
    r.feed("EHLO c\r\nMAIL FROM:<a@b>\r\nRCPT TO:<x@y>\r\nRCPT TO:<reject@y>\r\nDATA\r\nhello\r\n.\r\n"
           "MAIL FROM:<c@d>\r\nRCPT TO:<local@y>\r\nDATA\r\n.\r\nRSET\r\nNOOP\r\nQUIT\r\n");
    EXPECT_THAT(r.record, ElementsAre(greeting()[0], "S: 250-test.example.com says hello", "S: 250-VRFY",
                                      "S: 250-PIPELINING", "S: 250 8BITMIME", "S: 250 sender <a@b> OK",
                                      "A: begin", "A: check x@y from a@b", "S: 250 recipient <x@y> OK",
                                      "A: check reject@y from a@b", "S: 550 no such\\tuser", "A: open",
                                      start_mail_input[0], "A: content hello\\r\\n", "A: commit",
                                      "S: 250 message processed", "S: 250 sender <c@d> OK", "A: begin",
                                      "A: check local@y from c@d", "S: 250 recipient <local@y>  OK",
                                      "A: open", start_mail_input[0], "A: content ", "A: commit",
                                      "S: 250 message processed", "S: 250 state reset", "S: 250 noop",
                                      "S: 221 OK", "A: close: smtp protocol done"));
}

TEST_F(server_engine, errors_that_count_close_at_the_eighth) {
    settings.chunking = true;
    const lines errors[] = {lines{"C: FOO"} + unrecognized, lines{"C: "} + unrecognized,
                            lines{"C: DATA"} + sequence, lines{"C: STARTTLS"} + unrecognized,
                            lines{"C: BDAT 2 LAST", "R: ab"} + sequence};
    for (const lines& error : errors) {
        play(hello() + 7 * error + lines{"C: NOOP", "S: 250 noop"});
        play(hello() + 8 * error + too_many_errors);
    }
    play(sender() + 8 * (lines{"C: MAIL FROM:<a@b>"} + sequence) + lines{"A: discard"} + too_many_errors);
}

TEST_F(server_engine, errors_that_do_not_count) {
    for (const lines& harmless : {lines{"C: HELP", "S: 502 command not implemented"},
                                  lines{"C: AUTH x", "S: 502 command not implemented"},
                                  lines{"C: MAIL FROM:<a> SIZE=99999999999999999999",
                                        "S: 552 message size exceeds fixed maximum message size"},
                                  lines{"C: VRFY reject", "A: verify reject", "S: 550 no such\\tuser"}})
        play(hello() + 25 * harmless + lines{"C: NOOP", "S: 250 noop"});
}

TEST_F(server_engine, syntax_errors_close_at_the_twentieth) {
    const lines errors[] = {{"C: HELO", "S: 501 parameter required"},
                            {"C: MAIL a", "S: 553 mailbox name not allowed: invalid mail-from command"},
                            {"C: VRFY", "S: 550 invalid mailbox"}};
    for (const lines& error : errors) {
        play(hello() + 19 * error + lines{"C: NOOP", "S: 250 noop"});
        play(hello() + 20 * error + too_many_errors);
    }
    settings.max_other_errors = 0;
    play(hello() + 25 * errors[0] + lines{"C: NOOP", "S: 250 noop"});
}

TEST_F(server_engine, error_limit_can_be_changed_and_lifted) {
    settings.max_errors = 2;
    play(greeting() + 2 * (lines{"C: FOO"} + unrecognized) + too_many_errors);
    settings.max_errors = 0;
    play(greeting() + 30 * (lines{"C: FOO"} + unrecognized));
}

// ---- section 4: EHLO

TEST_F(server_engine, ehlo_lines_in_order) {
    const lines hello_line{"S: 250-test.example.com says hello"};
    const lines ehlo = greeting() + lines{"C: EHLO x"} + hello_line;
    settings.size_limit = 1000;
    settings.chunking = true;
    settings.smtputf8 = true;
    play(ehlo + lines{"S: 250-SIZE 1000", "S: 250-VRFY", "S: 250-CHUNKING", "S: 250-BINARYMIME",
                      "S: 250-PIPELINING", "S: 250-SMTPUTF8", "S: 250 8BITMIME"});
    settings.anonymous_vrfy = true;
    settings.pipelining = false;
    settings.chunking = false;
    settings.smtputf8 = false;
    settings.size_limit = 0;
    play(ehlo + lines{"S: 250 8BITMIME"});
}

TEST_F(server_engine, pipelining_works_without_being_advertised) {
    settings.pipelining = false;
    play(data() + lines{"C: x", "C: ."} + processed("x\\r\\n"));
}

// ---- section 5.1: addresses

TEST_F(server_engine, addresses_refused) {
    const std::pair<std::string, std::string> table[] = {
        {"", "-"},
        {"FROM", "-"},
        {"FROM :<a@b>", "-"},
        {"<a@b>", "-"},
        {"FROM:", "invalid angle brackets in mailbox name"},
        {"FROM:  ", "invalid angle brackets in mailbox name"},
        {"FROM:<", "invalid angle brackets in mailbox name"},
        {"FROM:<a@b", "invalid angle brackets in mailbox name"},
        {"FROM:<a@b SIZE=3", "invalid angle brackets in mailbox name"},
        {"FROM:<@a,@b:x@y", "invalid angle brackets in mailbox name"},
        {"FROM:a@b", "missing angle brackets in mailbox name"},
        {"FROM: a@b>", "missing angle brackets in mailbox name"},
        {"FROM:\"a\"<a@b>", "missing angle brackets in mailbox name"},
        {"FROM:<a@b>x", "invalid angle brackets"},
        {"FROM:<a@b>\tSIZE=3", "invalid angle brackets"},
        {"FROM:<a@b>\t", "invalid angle brackets"},
        {"FROM:<a@b>>", "invalid angle brackets"},
        {"FROM:<a>b@c>", "invalid angle brackets"},
        {"FROM:<\"a@b>", "invalid quoting"},
        {"FROM:<\"a\\\"@b>", "invalid quoting"},
        {"FROM:<\"a\"@b", "invalid angle brackets in mailbox name"},
        {"FROM:<@a,@b>", "invalid source route in mailbox name"},
        {"FROM:<@a,@b:>", "invalid source route in mailbox name"},
        {"FROM:<@>", "invalid source route in mailbox name"},
        {"FROM:<@[IPv6:2001:db8::1]>", "invalid source route in mailbox name"},
        {"FROM:<a\tb@c>", "invalid character in mailbox name"},
        {"FROM:<a\x7f@c>", "invalid character in mailbox name"},
        {"FROM:<a\x01@c>", "invalid character in mailbox name"},
        {"FROM:<a\r@c>", "invalid character in mailbox name"},
        {"FROM:<a\n@c>", "invalid character in mailbox name"},
        {"FROM:<a\0@c>"s, "invalid character in mailbox name"},
        {"FROM:<a\xff@c>", "invalid character in mailbox name"},
        {"FROM:<a@c\xc3>", "invalid character in mailbox name"},
        {"FROM:<@a:@b>", "invalid character in mailbox name"},
        {"FROM:<a@>", "invalid character in mailbox name"},
        {"FROM:<\xed\xa0\x80@c>", "invalid character in mailbox name"},
    };
    for (const auto& [argument, text] : table) {
        const bool from = text == "-";
        play(hello() + lines{"C: MAIL " + argument, "S: 553 mailbox name not allowed: " +
                                                        (from ? "invalid mail-from command" : text)});
        std::string to = argument;
        if (const auto at = to.find("FROM"); at == 0)
            to = "TO" + to.substr(4);
        play(sender() + lines{"C: RCPT " + to, "S: 550 " + (from ? "invalid rcpt-to command" : text),
                              "C: RCPT TO:<x@y>", "A: check x@y from a@b", "S: 250 recipient <x@y> OK"});
    }
}

TEST_F(server_engine, addresses_accepted) {
    struct row {
        std::string given, shown, used;
    };
    const row table[] = {
        {"<a@b>", "a@b", "a@b"},
        {" \t <a@b>", "a@b", "a@b"},
        {"<a@b> ", "a@b", "a@b"},
        {"<a>", "a", "a"},
        {"<a b@c>", "a b@c", "a b@c"},
        {"<@a,@b:x@y>", "x@y", "x@y"},
        {"<@[IPv6:2001:db8::1]:x@y>", "x@y", "x@y"},
        {"<@a:\"x>y\"@z>", "\"x>y\"@z", "\"x>y\"@z"},
        {"<\"a>b\"@c>", "\"a>b\"@c", "\"a>b\"@c"},
        {"<\"a\\\"b\"@c>", "\"a\\\\\"b\"@c", "\"a\\\"b\"@c"},
        {"<\"a@b\"@c>", "\"a@b\"@c", "\"a@b\"@c"},
        {"<x@b\u00fccher.example>", "x@b\u00fccher.example", "x@xn--bcher-kva.example"},
        {"<x@B\u00dcCHER.Example>", "x@B\u00dcCHER.Example", "x@xn--BCHER-2pa.Example"},
        {"<j\u00f6@b\u00fccher.example>", "j\u00f6@b\u00fccher.example", "j\u00f6@xn--bcher-kva.example"},
        {"<j\u00f6@x>", "j\u00f6@x", "j\u00f6@x"},
        {"<a<b@c>", "a<b@c", "a<b@c"},
        {"<" + std::string(600, 'l') + "@d>", std::string(600, 'l') + "@d", std::string(600, 'l') + "@d"},
    };
    for (const row& r : table)
        play(hello() +
             lines{"C: MAIL FROM:" + r.given, "S: 250 sender <" + r.shown + "> OK", "A: begin",
                   "C: RCPT TO:" + r.given, "A: check " + r.used + " from " + r.used,
                   "S: 250 recipient <" + r.shown + "> OK", "C: DATA", "A: open"} +
             start_mail_input + lines{"C: ."} + processed(""));
}

TEST_F(server_engine, empty_address_is_a_sender_but_no_recipient) {
    play(hello() + lines{"C: MAIL FROM:<>", "S: 250 sender <> OK", "A: begin", "C: RCPT TO:<>",
                         "S: 550 invalid empty mailbox"});
    EXPECT_THAT(last->log.lines, Contains("warning: empty MAIL-FROM return path"));
    play(sender());
    EXPECT_THAT(last->log.lines, Not(Contains(HasSubstr("warning"))));
}

TEST_F(server_engine, brackets_may_be_left_out_when_parsing_is_not_strict) {
    settings.strict_parsing = false;
    play(hello() +
         lines{"C: MAIL FROM: a@b SIZE=10 BODY=8BITMIME", "S: 250 sender <a@b> OK", "A: begin",
               "C: RCPT TO:x@y>", "A: check x@y> from a@b", "S: 250 recipient <x@y>> OK",
               "C: RCPT TO:<p@q> NOTIFY=NEVER", "A: check p@q from a@b", "S: 250 recipient <p@q> OK",
               "C: RCPT TO:", "S: 550 invalid angle brackets in mailbox name", "C: RCPT TO:<x",
               "S: 550 invalid angle brackets in mailbox name", "C: RCPT TO:@x",
               "S: 550 invalid character in mailbox name", "C: DATA", "A: open"} +
         start_mail_input + lines{"C: ."} + processed(""));
    EXPECT_EQ(last->envelopes[0].content, mail::body_type::eight_bit);
    play(hello() +
         lines{"C: MAIL FROM: ", "S: 553 mailbox name not allowed: invalid angle brackets in mailbox name",
               "C: MAIL FROM:<>", "S: 250 sender <> OK", "A: begin"});
}

TEST_F(server_engine, hint_at_strict_parsing_once_in_all_sessions) {
    const std::string hint = "warning: invalid smtp command syntax from remote client: "
                             "use --server-smtp-config=nostrictparsing to allow";
    server_recorder first(settings);
    first.feed("HELO x\r\nMAIL FROM:<a@b\r\nMAIL FROM:a@b\r\nMAIL FROM:a@b\r\n");
    EXPECT_EQ(std::count(first.log.lines.begin(), first.log.lines.end(), hint), 1);
    const smtp::server_settings copy = settings;
    server_recorder second(copy);
    second.feed("HELO x\r\nMAIL FROM:a@b\r\n");
    EXPECT_THAT(second.log.lines, Not(Contains(hint)));
}

TEST_F(server_engine, a_labels_can_be_switched_off) {
    settings.a_labels = false;
    play(hello() +
         lines{"C: MAIL FROM:<a@b\u00fc.example>", "S: 250 sender <a@b\u00fc.example> OK", "A: begin",
               "C: RCPT TO:<x@b\u00fc.example>", "A: check x@b\u00fc.example from a@b\u00fc.example",
               "S: 250 recipient <x@b\u00fc.example> OK", "C: DATA", "A: open"} +
         start_mail_input + lines{"C: ."} + processed(""));
    EXPECT_FALSE(last->envelopes[0].utf8_mailboxes);
}

TEST_F(server_engine, utf8_mailboxes_are_recorded) {
    const auto utf8 = [this](const std::string& from, const std::string& to) {
        server_recorder r(settings);
        r.feed("HELO x\r\nMAIL FROM:<" + from + ">\r\nRCPT TO:<" + to + ">\r\nDATA\r\n.\r\n");
        return r.envelopes.at(0).utf8_mailboxes;
    };
    EXPECT_FALSE(utf8("a@b", "x@y"));
    EXPECT_FALSE(utf8("a@b\u00fc", "x@b\u00fc"));
    EXPECT_TRUE(utf8("\u00e4@b", "x@y"));
    EXPECT_TRUE(utf8("a@b", "\u00e4@y"));
    EXPECT_TRUE(utf8("a@b", "other@y")); // the verifier's address counts
    EXPECT_FALSE(utf8("a@b", "local@y"));
}

TEST_F(server_engine, strict_utf8_needs_the_parameter) {
    settings.smtputf8_strict = true;
    play(hello() +
         lines{"C: MAIL FROM:<\u00e4@b>",
               "S: 553 mailbox name not allowed: invalid character in mailbox name: not using smptutf8",
               "C: MAIL FROM:<\u00e4@b> smtputf8",
               "S: 553 mailbox name not allowed: invalid character in mailbox name: not using smptutf8",
               "C: MAIL FROM:<a@b\u00fc>",
               "S: 250 sender <a@b\u00fc> OK",
               "A: begin",
               "C: RCPT TO:<\u00e4@b>",
               "S: 550 invalid character in mailbox name: not using smtputf8",
               "C: RCPT TO:<a@b\u00fc>",
               "A: check a@xn--b-eha from a@xn--b-eha",
               "S: 250 recipient <a@b\u00fc> OK",
               "C: RSET",
               "S: 250 state reset",
               "A: discard",
               "C: MAIL FROM:<\u00e4@b> SMTPUTF8",
               "S: 250 sender <\u00e4@b> OK",
               "A: begin",
               "C: RCPT TO:<\u00f6@b>",
               "A: check \u00f6@b from \u00e4@b",
               "S: 250 recipient <\u00f6@b> OK"});
}

// ---- section 5.2: parameters of MAIL

TEST_F(server_engine, size_parameter) {
    settings.size_limit = 1000;
    const auto reply_to = [this](const std::string& parameters) {
        server_recorder r(settings);
        r.feed("HELO x\r\nMAIL FROM:<a@b> " + parameters + "\r\n");
        return r.record.at(2);
    };
    const std::string fine = "S: 250 sender <a@b> OK",
                      refused = "S: 552 message size exceeds fixed maximum message size";
    EXPECT_EQ(reply_to("SIZE=1000"), fine);
    EXPECT_EQ(reply_to("SIZE=1001"), refused);
    EXPECT_EQ(reply_to("size=1001"), refused);
    EXPECT_EQ(reply_to("FOO=1 SIZE=1001"), refused);
    EXPECT_EQ(reply_to("SIZE=18446744073709551615"), refused);
    EXPECT_EQ(reply_to("SIZE=18446744073709551616"), refused);
    EXPECT_EQ(reply_to("SIZE=99999999999999999999999999"), refused);
    EXPECT_EQ(reply_to("SIZE=1 SIZE=1001"), fine); // the first wins
    EXPECT_EQ(reply_to("SIZE=1001 SIZE=1"), refused);
    for (const char* ignored : {"SIZE", "SIZE=", "SIZE=x", "SIZE=-1", "SIZE=1001x", "SIZES=1001", "=1001"})
        EXPECT_EQ(reply_to(ignored), fine) << ignored;
    settings.size_limit = 0;
    EXPECT_EQ(reply_to("SIZE=18446744073709551615"), fine);
    EXPECT_EQ(reply_to("SIZE=18446744073709551616"), refused);
}

TEST_F(server_engine, body_and_auth_parameters_are_recorded) {
    const auto envelope_with = [this](const std::string& parameters) {
        server_recorder r(settings);
        r.feed("HELO x\r\nMAIL FROM:<a@b> " + parameters + "\r\nRCPT TO:<x@y>\r\nDATA\r\n.\r\n");
        return r.envelopes.at(0);
    };
    EXPECT_EQ(envelope_with("").content, mail::body_type::unknown);
    EXPECT_EQ(envelope_with("BODY=7BIT").content, mail::body_type::seven_bit);
    EXPECT_EQ(envelope_with("body=8bitMIME").content, mail::body_type::eight_bit);
    EXPECT_EQ(envelope_with("BODY=9BIT").content, mail::body_type::unknown);
    EXPECT_EQ(envelope_with("BODY").content, mail::body_type::unknown);
    EXPECT_EQ(envelope_with("BODY=7BIT BODY=8BITMIME").content, mail::body_type::seven_bit);
    EXPECT_EQ(envelope_with("").mail_from_auth_in, "");
    EXPECT_EQ(envelope_with("AUTH=").mail_from_auth_in, "");
    EXPECT_EQ(envelope_with("AUTH=<>").mail_from_auth_in, "<>");
    EXPECT_EQ(envelope_with("auth=c=d").mail_from_auth_in, "c+3Dd");
    EXPECT_EQ(envelope_with("AUTH=a+b").mail_from_auth_in, "a");
    EXPECT_EQ(envelope_with("AUTH=+zz").mail_from_auth_in, "+00");
    EXPECT_EQ(envelope_with("AUTH=a+20b AUTH=c").mail_from_auth_in, "a+20b");
}

TEST_F(server_engine, smtputf8_takes_no_value) {
    const std::string refusal = "S: 553 mailbox name not allowed: invalid mail-from parameter";
    play(hello() + lines{"C: MAIL FROM:<a@b> SMTPUTF8=1", refusal, "C: MAIL FROM:<a@b> SIZE=1 SMTPUTF8=",
                         refusal, "C: MAIL FROM:<a@b> smtputf8=1", "S: 250 sender <a@b> OK", "A: begin"});
}

TEST_F(server_engine, checks_on_mail_in_order) {
    settings.size_limit = 10;
    settings.smtputf8_strict = true;
    play(hello() +
         lines{"C: MAIL FROM:\u00e4@b SIZE=11",
               "S: 553 mailbox name not allowed: missing angle brackets in mailbox name",
               "C: MAIL FROM:<\u00e4@b> SIZE=11", "S: 552 message size exceeds fixed maximum message size",
               "C: MAIL FROM:<\u00e4@b> SIZE=10",
               "S: 553 mailbox name not allowed: invalid character in mailbox name: not using smptutf8"});
}

TEST_F(server_engine, parameters_of_rcpt_are_ignored) {
    play(sender() + lines{"C: RCPT TO:<x@y> NOTIFY=SUCCESS ORCPT=rfc822;x SIZE=x SMTPUTF8=1",
                          "A: check x@y from a@b", "S: 250 recipient <x@y> OK"});
}

// ---- section 5.3: verdicts on recipients

TEST_F(server_engine, verdicts_on_recipients) {
    play(sender() +
         lines{"C: RCPT TO:<local@y>",
               "A: check local@y from a@b",
               "S: 250 recipient <local@y>  OK",
               "C: RCPT TO:<other@y>",
               "A: check other@y from a@b",
               "S: 250 recipient <other@y> OK",
               "C: RCPT TO:<reject@y>",
               "A: check reject@y from a@b",
               "S: 550 no such\\tuser",
               "C: RCPT TO:<later@y>",
               "A: check later@y from a@b",
               "S: 450 try again",
               "C: RCPT TO:<bare@y>",
               "A: check bare@y from a@b",
               "S: 550",
               "C: RCPT TO:<x@y>",
               "A: check x@y from a@b",
               "S: 250 recipient <x@y> OK",
               "C: RCPT TO:<x@y>",
               "A: check x@y from a@b",
               "S: 250 recipient <x@y> OK",
               "C: RCPT TO:<local@z>",
               "A: check local@z from a@b",
               "S: 250 recipient <local@z>  OK",
               "C: DATA",
               "A: open"} +
         start_mail_input + lines{"C: ."} + processed(""));
    EXPECT_THAT(last->envelopes[0].to_local, ElementsAre("mailbox", "mailbox"));
    EXPECT_THAT(last->envelopes[0].to_remote, ElementsAre("b\u00e4r@elsewhere.example", "x@y", "x@y"));
    EXPECT_THAT(last->log.lines,
                Contains("warning: rejecting recipient \"reject@y\": no such\\tuser: not listed"));
    EXPECT_THAT(last->log.lines, Contains("warning: rejecting recipient \"later@y\": try again"));
    EXPECT_THAT(last->log.lines, Contains("warning: rejecting recipient \"bare@y\": "));
}

TEST_F(server_engine, refusals_of_addresses_beyond_ascii_name_them) {
    play(sender() + lines{"C: RCPT TO:<r\u00e9ject@y>", "A: check r\u00e9ject@y from a@b",
                          "S: 550 recipient <r\u00e9ject@y> no such\\tuser", "C: RCPT TO:<lat\u00e9r@y>",
                          "A: check lat\u00e9r@y from a@b", "S: 450 recipient <lat\u00e9r@y> try again",
                          "C: RCPT TO:<b\u00e1re@y>", "A: check b\u00e1re@y from a@b",
                          "S: 550 recipient <b\u00e1re@y>", "C: RCPT TO:<reject@\u00fc>",
                          "A: check reject@xn--tda from a@b",
                          "S: 550 recipient <reject@\u00fc> no such\\tuser"});
}

TEST_F(server_engine, a_refused_recipient_changes_no_state) {
    const lines refused{"C: RCPT TO:<reject@y>", "A: check reject@y from a@b", "S: 550 no such\\tuser"};
    play(sender() + refused + lines{"C: DATA", "S: 554 no valid recipients", "A: discard"});
    play(recipient() + refused + lines{"C: DATA", "A: open"} + start_mail_input);
}

TEST_F(server_engine, verifier_aborts_without_a_reply) {
    play(sender() + lines{"C: RCPT TO:<abort@y>", "A: check abort@y from a@b", "A: discard",
                          "A: abort: address verifier abort"});
    play(greeting() + lines{"C: VRFY abort", "A: verify abort", "A: abort: address verifier abort"});
}

TEST_F(server_engine, recipients_are_limited) {
    settings.max_recipients = 2;
    play(recipient() +
         lines{"C: RCPT TO:<reject@y>", "A: check reject@y from a@b", "S: 550 no such\\tuser",
               "C: RCPT TO:<local@y>", "A: check local@y from a@b", "S: 250 recipient <local@y>  OK",
               "C: RCPT TO:<z@y>", "S: 452 too many recipients", "C: RCPT TO:z",
               "S: 550 missing angle brackets in mailbox name", "C: DATA", "A: open"} +
         start_mail_input + lines{"C: ."} + processed("") +
         lines{"C: MAIL FROM:<a@b>", "S: 250 sender <a@b> OK", "A: begin", "C: RCPT TO:<z@y>",
               "A: check z@y from a@b", "S: 250 recipient <z@y> OK"});
    settings.max_recipients = 0;
    play(sender() + 5 * lines{"C: RCPT TO:<x@y>", "A: check x@y from a@b", "S: 250 recipient <x@y> OK"});
}

TEST_F(server_engine, long_recipients_count_for_several) {
    settings.max_recipients = 2;
    const std::string longest(510, 'l');
    play(sender() + lines{"C: RCPT TO:<" + longest + ">", "A: check " + longest + " from a@b",
                          "S: 250 recipient <" + longest + "> OK", "C: RCPT TO:<x@y>",
                          "A: check x@y from a@b", "S: 250 recipient <x@y> OK"});
    const std::string too_long(512, 'l');
    play(sender() + lines{"C: RCPT TO:<" + too_long + ">", "A: check " + too_long + " from a@b",
                          "S: 250 recipient <" + too_long + "> OK", "C: RCPT TO:<x@y>",
                          "S: 452 too many recipients", "C: RSET", "S: 250 state reset", "A: discard",
                          "C: MAIL FROM:<a@b>", "S: 250 sender <a@b> OK", "A: begin", "C: RCPT TO:<x@y>",
                          "A: check x@y from a@b", "S: 250 recipient <x@y> OK"});
}

// ---- section 5.4: VRFY

TEST_F(server_engine, vrfy) {
    for (const lines& before : {greeting(), hello(), sender(), recipient()})
        play(before + lines{"C: VRFY local",
                            "A: verify local",
                            "S: 250 Full Name",
                            "C: VRFY nameless",
                            "A: verify nameless",
                            "S: 250",
                            "C: VRFY bob@x",
                            "A: verify bob@x",
                            "S: 252 cannot verify but will accept: bob@x",
                            "C: VRFY <bob>",
                            "A: verify <bob>",
                            "S: 252 cannot verify but will accept: <bob>",
                            "C: VRFY b\u00f6b SMTPUTF8",
                            "A: verify b\u00f6b",
                            "S: 252 cannot verify but will accept: b\u00f6b",
                            "C: VRFY xSMTPUTF8",
                            "A: verify xSMTPUTF8",
                            "S: 252 cannot verify but will accept: xSMTPUTF8",
                            "C: VRFY reject",
                            "A: verify reject",
                            "S: 550 no such\\tuser",
                            "C: VRFY later",
                            "A: verify later",
                            "S: 450 try again",
                            "C: VRFY bare",
                            "A: verify bare",
                            "S: 550",
                            "C: VRFY",
                            "S: 550 invalid mailbox",
                            "C: VRFY SMTPUTF8",
                            "S: 550 invalid mailbox"});
}

TEST_F(server_engine, vrfy_leaves_the_transaction_alone) {
    play(recipient() + lines{"C: VRFY local", "A: verify local", "S: 250 Full Name", "C: DATA", "A: open"} +
         start_mail_input + lines{"C: ."} + processed(""));
    EXPECT_TRUE(last->envelopes[0].to_local.empty());
}

TEST_F(server_engine, anonymous_vrfy) {
    settings.anonymous_vrfy = true;
    play(greeting() + lines{"C: VRFY local", "S: 252 cannot vrfy", "C: VRFY", "S: 252 cannot vrfy"});
}

// ---- section 5.5: DATA

TEST_F(server_engine, dots) {
    const std::pair<std::string, std::string> table[] = {
        {"", ""},
        {"..\r\n", ".\\r\\n"},
        {"...\r\n", "..\\r\\n"},
        {".b\r\n", "b\\r\\n"},
        {"a\r\n..a\r\n", "a\\r\\n.a\\r\\n"},
        {"a.\r\n", "a.\\r\\n"},
        {"a\r\n.\rb\r\n", "a\\r\\n\\rb\\r\\n"},
        {".\r\r\n", "\\r\\r\\n"},
        {".\r.\r\n", "\\r.\\r\\n"},
        {".\n.\r\n", "\\n.\\r\\n"},
        {"\r\n\r\n", "\\r\\n\\r\\n"},
        {"a\r\n. \r\n", "a\\r\\n \\r\\n"},
        {"..\r\n..\r\n..\r\n", ".\\r\\n.\\r\\n.\\r\\n"},
    };
    for (const auto& [sent, stored] : table)
        play(data() + lines{"R: " + sent, "C: ."} + processed(stored));
}

TEST_F(server_engine, nothing_else_ends_the_data) {
    const std::pair<std::string, std::string> table[] = {
        {"a\n.\nb\r\n", "a\\n.\\nb\\r\\n"},           // LF . LF
        {"a\n.\r\nb\r\n", "a\\n.\\r\\nb\\r\\n"},      // LF . CR-LF
        {"a\r\n.\nb\r\n", "a\\r\\n\\nb\\r\\n"},       // CR-LF . LF
        {"a\r.\rb\r\n", "a\\r.\\rb\\r\\n"},           // CR . CR
        {"a\r.\r\nb\r\n", "a\\r.\\r\\nb\\r\\n"},      // CR . CR-LF
        {"a\r\n.\rb\r\n", "a\\r\\n\\rb\\r\\n"},       // CR-LF . CR
        {"a\n\r.\n\rb\r\n", "a\\n\\r.\\n\\rb\\r\\n"}, // LF-CR . LF-CR
        {"a\r\n\0.\r\nb\r\n"s, "a\\r\\n\\0.\\r\\nb\\r\\n"},
        {"a\r\r\n\n.\r\nb\r\n", "a\\r\\r\\n\\n.\\r\\nb\\r\\n"},
        {"a\r\n.\r\r\nb\r\n", "a\\r\\n\\r\\r\\nb\\r\\n"},
    };
    for (const auto& [sent, stored] : table)
        play(data() + lines{"R: " + sent + "MAIL FROM:<evil@x>\r\n", "C: ."} +
             processed(stored + "MAIL FROM:<evil@x>\\r\\n"));
}

TEST_F(server_engine, content_is_kept_to_the_octet) {
    std::string all;
    for (int i = 0; i < 256; ++i)
        all += static_cast<char>(i);
    play(data() + lines{"R: " + all + "\r\n.\r\n"} + processed(base::printable(all) + "\\r\\n"));
    EXPECT_EQ(last->contents.at(0), all + "\r\n");
}

TEST_F(server_engine, endless_data_lines) {
    server_recorder r(settings);
    r.feed("HELO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<x@y>\r\nDATA\r\n");
    const std::string piece(100'000, 'x');
    for (int i = 0; i < 20; ++i) {
        r.feed(piece);
        EXPECT_TRUE(r.engine().in_content());
    }
    r.feed("\r\n.\r\n");
    EXPECT_EQ(r.contents.at(0).size(), 2'000'002U);
    EXPECT_THAT(r.log.lines, Not(Contains(HasSubstr("very long line"))));
}

TEST_F(server_engine, content_is_handed_out_in_place) {
    smtp::testing::log_record log;
    smtp::server_engine engine(settings, peer, base::logger(log));
    const std::string input = "HELO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<x@y>\r\nDATA\r\none\r\n..two\r\n.\r\n";
    engine.start();
    engine.feed(input);
    std::vector<std::size_t> places;
    for (smtp::server_action todo = engine.next(); !std::holds_alternative<smtp::read_more>(todo);
         todo = engine.next()) {
        if (std::holds_alternative<smtp::check_recipient>(todo))
            engine.recipient_checked({});
        if (std::holds_alternative<smtp::open_content>(todo))
            engine.content_opened({});
        if (const auto* piece = std::get_if<smtp::append_content>(&todo))
            places.push_back(static_cast<std::size_t>(piece->bytes.data() - input.data()));
        if (std::holds_alternative<smtp::commit_message>(todo))
            engine.message_committed({});
    }
    EXPECT_THAT(places, ElementsAre(input.find("one"), input.find(".two")));
}

TEST_F(server_engine, binarymime_must_not_come_by_data) {
    const lines binary = hello() + lines{"C: MAIL FROM:<a@b> BODY=BINARYMIME",
                                         "S: 250 sender <a@b> OK",
                                         "A: begin",
                                         "C: RCPT TO:<x@y>",
                                         "A: check x@y from a@b",
                                         "S: 250 recipient <x@y> OK"};
    const lines refused =
        binary + lines{"C: DATA", "S: 503 invalid data command with binarymime -- use RSET to resynchronise",
                       "A: discard"};
    for (bool chunking : {false, true}) {
        settings.chunking = chunking;
        play(refused + lines{"C: DATA"} + sequence + lines{"C: MAIL FROM:<a@b>"} + sequence +
             lines{"C: RCPT TO:<a@b>"} + sequence + lines{"C: VRFY x"} + sequence + lines{"C: AUTH x"} +
             sequence + lines{"C: NOOP", "S: 250 noop"} + lines{"C: RSET", "S: 250 state reset"} +
             lines{"C: MAIL FROM:<a@b>", "S: 250 sender <a@b> OK", "A: begin"});
        play(refused +
             lines{"C: HELO y", "S: 250 hello", "C: MAIL FROM:<a@b>", "S: 250 sender <a@b> OK", "A: begin"});
        play(refused + lines{"C: QUIT", "S: 221 OK", "A: close: smtp protocol done"});
    }
    settings.max_errors = 1;
    play(refused + too_many_errors);
}

TEST_F(server_engine, content_stays_below_the_size_limit) {
    settings.size_limit = 10;
    play(data() + lines{"C: 1234567", "C: ."} + processed("1234567\\r\\n"));
    const lines refused{"A: discard", "S: 552 message size exceeds fixed maximum message size"};
    play(data() + lines{"C: 12345678", "A: discard", "C: more", "C: .", refused[1], "C: MAIL FROM:<a@b>",
                        "S: 250 sender <a@b> OK", "A: begin"});
    EXPECT_THAT(last->log.lines, Contains("warning: message content too big"));
    play(data() + lines{"C: 123456789", "A: discard", "C: .", refused[1], "C: NOOP", "S: 250 noop"});
}

const std::string own_received_line =
    "Received: from client ([192.0.2.1]) by test.example.com with ESMTP ; Sun, 1 Nov 2026 05:17:47 +0000\r\n";

TEST_F(server_engine, hops_are_limited) {
    settings.max_hops = 2;
    const lines two{"C: Received: by a", "C: received: by b"};
    const std::string kept = "Received: by a\\r\\nreceived: by b\\r\\n";
    play(data() + two + lines{"C: Subject: x", "C: ", "C: Received: body", "C: ."} +
         processed(kept + "Subject: x\\r\\n\\r\\nReceived: body\\r\\n"));
    const lines refused{"S: 554 too many hops", "C: MAIL FROM:<a@b>", "S: 250 sender <a@b> OK", "A: begin"};
    play(data() + two + lines{"C: RECEIVED: by c", "A: discard", "C: ", "C: body", "C: ."} + refused);
    EXPECT_THAT(last->log.lines, Contains("warning: message has passed too many servers"));
    settings.max_hops = 0;
    play(data() + two + lines{"C: ."} + processed(kept));
    settings.anonymous_content = false; // our own counts
    settings.max_hops = 1;
    play(data() + lines{"C: 1", "C: ."} + processed(base::printable(own_received_line) + "1\\r\\n"));
    play(data() + lines{"C: Received: x", "A: discard", "C: ."} + refused);
}

TEST_F(server_engine, size_limit_counts_the_received_line) {
    settings.anonymous_content = false;
    settings.size_limit = 1;
    play(data() + lines{"A: discard", "C: .", "S: 552 message size exceeds fixed maximum message size"});
    settings.size_limit = own_received_line.size() + 4;
    play(data() + lines{"C: 1", "C: ."} + processed(base::printable(own_received_line) + "1\\r\\n"));
    settings.size_limit = own_received_line.size() + 3;
    play(data() +
         lines{"C: 1", "A: discard", "C: .", "S: 552 message size exceeds fixed maximum message size"});
}

// ---- section 5.6: BDAT

TEST_F(server_engine, chunks) {
    settings.chunking = true;
    play(recipient() +
         lines{"C: BDAT 3", "A: open", "R: a\r\n", "S: 250 3 bytes received", "C: bdat 4 last", "R: .\r\n."} +
         processed("a\\r\\n.\\r\\n.") + lines{"C: NOOP", "S: 250 noop"});
    play(recipient() + lines{"C: BDAT 2 LAST", "A: open", "R: ab"} + processed("ab"));
    play(recipient() + lines{"C: BDAT 0 LAST", "A: open"} + processed(""));
    play(recipient() +
         lines{"C: BDAT 1 FIRST", "A: open", "R: a", "S: 250 1 bytes received", "C: BDAT 0 LAST"} +
         processed("a"));
    play(recipient() +
         lines{"C: BDAT 3 ", "A: open", "R: ..\n", "S: 250 3 bytes received", "C: BDAT 1 x LAST", "R: \r",
               "S: 250 1 bytes received", "C: BDAT 00002 LAST x", "R: \n."} +
         processed("..\\n\\r\\n."));
}

TEST_F(server_engine, chunks_carry_binary_mail) {
    settings.chunking = true;
    play(hello() +
         lines{"C: MAIL FROM:<a@b> BODY=BINARYMIME", "S: 250 sender <a@b> OK", "A: begin", "C: RCPT TO:<x@y>",
               "A: check x@y from a@b", "S: 250 recipient <x@y> OK", "C: BDAT 7 LAST", "A: open",
               "R: \0\r\n.\r\n\xff"s} +
         processed("\\0\\r\\n.\\r\\n\xff"));
    EXPECT_EQ(last->envelopes[0].content, mail::body_type::binary_mime);
}

TEST_F(server_engine, received_line_precedes_the_first_chunk_only) {
    settings.chunking = true;
    settings.anonymous_content = false;
    play(recipient() +
         lines{"C: BDAT 1", "A: open", "R: a", "S: 250 1 bytes received", "C: BDAT 1 LAST", "R: b"} +
         processed("Received: from client ([192.0.2.1]) by test.example.com with ESMTP ; Sun, 1 Nov 2026 "
                   "05:17:47 +0000\\r\\nab"));
}

TEST_F(server_engine, invalid_chunk_sizes_need_a_reset) {
    settings.chunking = true;
    for (const char* bad : {"", " ", "x", "-1", "0", "1x", "18446744073709551616 LAST", "LAST"})
        play(recipient() + lines{"C: BDAT "s + bad, "S: 501 invalid argument", "A: discard", "C: DATA"} +
             sequence + lines{"C: BDAT 2", "R: \r\n"} + sequence +
             lines{"C: RSET", "S: 250 state reset", "C: MAIL FROM:<a@b>", "S: 250 sender <a@b> OK",
                   "A: begin"});
    play(recipient() + lines{"C: BDAT 1", "A: open", "R: a", "S: 250 1 bytes received", "C: BDAT 0",
                             "S: 501 invalid argument", "A: discard"});
}

TEST_F(server_engine, refused_chunks_are_read_and_thrown_away) {
    settings.chunking = true;
    const lines quit_in_chunk{"R: QUIT\r\n"};
    play(sender() + lines{"C: BDAT 6 LAST"} + quit_in_chunk +
         lines{"S: 554 no valid recipients", "A: discard", "C: MAIL FROM:<a@b>", "S: 250 sender <a@b> OK",
               "A: begin"});
    play(hello() + lines{"C: BDAT 6"} + quit_in_chunk + sequence + lines{"C: MAIL FROM:<a@b>"} + sequence +
         lines{"C: BDAT 6 LAST"} + quit_in_chunk + sequence + lines{"C: RSET", "S: 250 state reset"});
    play(greeting() + lines{"C: BDAT 6"} + quit_in_chunk + sequence +
         lines{"C: RSET", "S: 250 state reset", "C: MAIL FROM:<a@b>"} + sequence);
    play(sender() + lines{"C: BDAT x", "S: 554 no valid recipients", "A: discard"});
    play(hello() + lines{"C: BDAT"} + sequence);
}

TEST_F(server_engine, other_verbs_between_chunks_do_not_end_the_sequence) {
    settings.chunking = true;
    const lines first = recipient() + lines{"C: BDAT 1", "A: open", "R: a", "S: 250 1 bytes received"};
    for (const char* verb : {"DATA", "MAIL FROM:<a@b>", "RCPT TO:<x@y>", "VRFY x", "AUTH PLAIN"})
        play(first + lines{"C: "s + verb} + sequence + lines{"C: BDAT 1 LAST", "R: b"} + processed("ab"));
    play(first +
         lines{"C: NOOP", "S: 250 noop", "C: HELP", "S: 502 command not implemented", "C: BDAT 1 LAST",
               "R: b"} +
         processed("ab"));
    play(first + lines{"C: RSET", "S: 250 state reset", "A: discard", "C: BDAT 1 LAST", "R: b"} + sequence);
    play(first + lines{"C: HELO y", "S: 250 hello", "A: discard", "C: RCPT TO:<x@y>"} + sequence);
    play(first + lines{"C: QUIT", "S: 221 OK", "A: discard", "A: close: smtp protocol done"});
}

TEST_F(server_engine, chunks_over_the_size_limit) {
    settings.chunking = true;
    settings.size_limit = 4;
    const std::string refused = "S: 552 message size exceeds fixed maximum message size";
    play(recipient() + lines{"C: BDAT 3 LAST", "A: open", "R: abc"} + processed("abc"));
    play(recipient() + lines{"C: BDAT 4 LAST", "A: open", "R: abcd", "A: discard", refused,
                             "C: MAIL FROM:<a@b>", "S: 250 sender <a@b> OK", "A: begin"});
    play(recipient() + lines{"C: BDAT 3", "A: open", "R: abc", "S: 250 3 bytes received", "C: BDAT 2",
                             "R: de", "A: discard", "S: 250 2 bytes received", "C: BDAT 1 LAST", "R: f",
                             refused, "C: NOOP", "S: 250 noop"});
}

TEST_F(server_engine, replies_of_the_commit_end_chunks_too) {
    settings.chunking = true;
    outcomes = {{452, "rejected"}};
    play(recipient() + lines{"C: BDAT 1 LAST", "A: open", "R: a", "A: content a", "A: commit",
                             "S: 452 rejected", "C: MAIL FROM:<a@b>", "S: 250 sender <a@b> OK", "A: begin"});
}

// ---- section 5.7: Received (its text has tests in mail/received_test.cpp)

TEST_F(server_engine, received_line_names_the_latest_greeting) {
    settings.anonymous_content = false;
    peer = {"/run/socket", true};
    play(greeting() +
         lines{"C: HELO one", "S: 250 hello", "C: HELO two words\t", "S: 250 hello", "C: MAIL FROM:<a@b>",
               "S: 250 sender <a@b> OK", "A: begin", "C: RCPT TO:<x@y>", "A: check x@y from a@b",
               "S: 250 recipient <x@y> OK", "C: DATA", "A: open"} +
         start_mail_input + lines{"C: ."} +
         processed("Received: from two-words ([/]) by test.example.com with ESMTP ; Sun, 1 Nov 2026 05:17:47 "
                   "+0000\\r\\n"));
    EXPECT_EQ(last->envelopes[0].client, "/run/socket");
}

// ---- section 7: results

TEST_F(server_engine, each_result_leaves_the_session_usable) {
    const smtp::commit_outcome results[] = {{452, "error"},   {452, "rejected"},
                                            {452, "failed"},  {452, "transaction failed"},
                                            {550, "no spam"}, {450, ""}};
    for (const smtp::commit_outcome& result : results) {
        outcomes = {result};
        const std::string reply =
            "S: " + std::to_string(result.code) + (result.text.empty() ? "" : " ") + result.text;
        const lines again{
            "C: MAIL FROM:<a@b>",    "S: 250 sender <a@b> OK",    "A: begin", "C: RCPT TO:<x@y>",
            "A: check x@y from a@b", "S: 250 recipient <x@y> OK", "C: DATA",  "A: open"};
        play(data() + lines{"C: x", "C: .", "A: content x\\r\\n", "A: commit", reply, "C: RCPT TO:<x@y>"} +
             sequence + again + start_mail_input + lines{"C: y", "C: ."} + processed("y\\r\\n"));
    }
}

TEST_F(server_engine, quit_behind_the_dot_waits_for_the_result) {
    outcomes = {{452, "failed"}};
    play(data() + lines{"R: x\r\n.\r\nQUIT\r\n", "A: content x\\r\\n", "A: commit", "S: 452 failed",
                        "S: 221 OK", "A: close: smtp protocol done"});
}

// ---- design.md section 7: limits

TEST_F(server_engine, command_lines_are_limited) {
    settings.max_command_line = 20;
    const std::string at = "NOOP " + std::string(15, 'x');
    play(greeting() + lines{"C: " + at, "S: 250 noop", "C: " + at + "x", "S: 500 line too long",
                            "R: " + at + "\r\r\n", "S: 500 line too long", "C: " + std::string(100, 'y'),
                            "S: 500 line too long", "C: HELO x", "S: 250 hello"});
    settings.max_other_errors = 3;
    play(greeting() + 3 * lines{"C: " + std::string(50, 'y'), "S: 500 line too long"} + too_many_errors);
}

TEST_F(server_engine, too_long_a_line_may_hold_anything) {
    settings.max_command_line = 10;
    play(greeting() + lines{"R: 0123456789\r0123\n456\0QUIT\rQUIT\n\r\r\n"s, "S: 500 line too long",
                            "C: QUIT", "S: 221 OK", "A: close: smtp protocol done"});
}

TEST_F(server_engine, without_a_limit_on_lines_memory_still_has_one) {
    settings.max_command_line = 0;
    settings.max_errors = 0;
    server_recorder fine(settings);
    fine.feed("HELO " + std::string(79'000, 'x'));
    fine.feed("\r\n");
    EXPECT_EQ(fine.record.back(), "S: 250 hello");
    server_recorder r(settings);
    for (int i = 0; i < 3; ++i)
        r.feed(std::string(30'000, 'x'));
    EXPECT_THAT(r.record, ElementsAre(greeting()[0], "A: abort: server protocol overflow"));
}

TEST_F(server_engine, long_lines_are_mentioned_once) {
    const auto warnings = [this](const lines& sent) {
        server_recorder r(settings);
        for (const std::string& line : sent)
            r.feed(line + "\r\n");
        return std::count_if(r.log.lines.begin(), r.log.lines.end(),
                             [](const std::string& l) { return l.starts_with("warning: very long line"); });
    };
    const std::string thousand(1000, 'x');
    EXPECT_EQ(warnings({thousand}), 0);
    EXPECT_EQ(warnings({thousand + "x"}), 1);
    EXPECT_EQ(warnings({thousand + "x", thousand + "xx"}), 1);
    server_recorder r(settings);
    r.feed(std::string(5000, 'x') + "\r\n");
    EXPECT_THAT(r.log.lines, Contains("warning: very long line detected: 5000 > 1000"));
}

TEST_F(server_engine, replies_do_not_pile_up) {
    settings.max_errors = 0;
    settings.max_idle_commands = 0;
    constexpr std::size_t reply = std::string_view("500 command unrecognized\r\n").size();
    constexpr std::size_t whole = 20'000 * reply;
    std::string input;
    for (int i = 0; i < 20'000; ++i)
        input += "\r\n";
    ASSERT_EQ(settings.max_pending_replies, 65'536U);
    for (std::size_t limit : {std::size_t{65'536}, std::size_t{1000}, std::size_t{0}}) {
        settings.max_pending_replies = limit;
        smtp::testing::log_record log;
        log.everything = false;
        smtp::server_engine engine(settings, peer, base::logger(log));
        engine.start();
        engine.take_output();
        engine.feed(input);
        std::size_t most = 0, all = 0;
        for (;;) {
            const smtp::server_action todo = engine.next();
            const std::size_t size = engine.take_output().size();
            most = std::max(most, size);
            all += size;
            if (std::holds_alternative<smtp::read_more>(todo))
                break;
            ASSERT_TRUE(std::holds_alternative<smtp::write_replies>(todo));
        }
        EXPECT_EQ(all, whole);
        EXPECT_GE(most, limit != 0 ? limit : whole);
        EXPECT_LT(most, limit != 0 ? limit + reply : whole + 1);
    }
}

TEST_F(server_engine, commands_without_a_message_are_limited) {
    settings.max_idle_commands = 3;
    const lines noop{"C: NOOP", "S: 250 noop"};
    const lines enough{"S: 421 too many commands", "A: close: too many commands"};
    play(greeting() + 3 * noop + lines{"C: NOOP"} + enough);
    play(greeting() + 3 * noop + lines{"C: QUIT", "S: 221 OK", "A: close: smtp protocol done"});
    play(recipient() + 9 * lines{"C: RCPT TO:<x@y>", "A: check x@y from a@b", "S: 250 recipient <x@y> OK"} +
         lines{"C: DATA", "A: open"} + start_mail_input + lines{"C: ."} + processed("") + 3 * noop +
         lines{"C: NOOP"} + enough);
    play(sender() + lines{"C: RCPT TO:<bare@y>", "A: check bare@y from a@b", "S: 550", "C: RCPT TO:<bare@y>",
                          "S: 421 too many commands", "A: discard", enough[1]});
    settings.max_idle_commands = 0;
    play(greeting() + 30 * noop);
}

TEST_F(server_engine, chunks_are_not_commands_without_a_message) {
    settings.max_idle_commands = 3;
    settings.chunking = true;
    play(recipient() + lines{"C: BDAT 1", "A: open", "R: a", "S: 250 1 bytes received"} +
         5 * lines{"C: BDAT 1", "R: a", "S: 250 1 bytes received"} + lines{"C: BDAT 0 LAST"} +
         processed("aaaaaa"));
}

TEST_F(server_engine, default_limits) {
    server_recorder r(settings);
    std::string noops;
    for (int i = 0; i < 1001; ++i)
        noops += "NOOP\r\n";
    r.feed(noops);
    EXPECT_EQ(std::count(r.record.begin(), r.record.end(), "S: 250 noop"), 1000);
    EXPECT_EQ(r.record.back(), "A: close: too many commands");
}

// ---- the driver's side

TEST_F(server_engine, driver_ends_the_session) {
    server_recorder r(settings);
    r.feed("HELO x\r\nMAIL FROM:<a@b>\r\nRCP");
    r.end_session(421, "shutting down", "server stopping");
    EXPECT_THAT(r.record, ElementsAre(greeting()[0], "S: 250 hello", "S: 250 sender <a@b> OK", "A: begin",
                                      "S: 421 shutting down", "A: discard", "A: close: server stopping"));
}

TEST_F(server_engine, driver_ends_the_session_instead_of_answering) {
    smtp::testing::log_record log;
    smtp::server_engine engine(settings, peer, base::logger(log));
    engine.start();
    const std::string input = "VRFY x\r\nNOOP\r\n";
    engine.feed(input);
    ASSERT_TRUE(std::holds_alternative<smtp::check_recipient>(engine.next()));
    engine.end_session(421, "", "stopping");
    engine.recipient_checked({});
    engine.end_session(421, "again", "again");
    const smtp::server_action todo = engine.next();
    ASSERT_TRUE(std::holds_alternative<smtp::close_session>(todo));
    EXPECT_EQ(std::get<smtp::close_session>(todo).reason, "stopping");
    EXPECT_TRUE(engine.has_output());
    EXPECT_EQ(engine.take_output(), greeting()[0].substr(3) + "\r\n421\r\n");
    EXPECT_FALSE(engine.has_output());
}

TEST_F(server_engine, tells_whether_a_command_or_content_is_unfinished) {
    settings.chunking = true;
    server_recorder r(settings);
    const auto is = [&r](bool command, bool content) {
        return r.engine().in_command() == command && r.engine().in_content() == content;
    };
    EXPECT_TRUE(is(false, false));
    r.feed("H");
    EXPECT_TRUE(is(true, false));
    EXPECT_EQ(r.engine().lines(), 0U);
    r.feed("ELO x\r\nRS");
    EXPECT_TRUE(is(true, false));
    EXPECT_EQ(r.engine().lines(), 1U);
    r.feed("ET\r");
    EXPECT_TRUE(is(true, false));
    r.feed("\n");
    EXPECT_TRUE(is(false, false));
    r.feed("MAIL FROM:<a@b>\r\nRCPT TO:<x@y>\r\nDATA\r\n");
    EXPECT_TRUE(is(false, true));
    r.feed("x\r\n.");
    EXPECT_TRUE(is(false, true));
    r.feed("\r\nMA");
    EXPECT_TRUE(is(true, false));
    r.feed("IL FROM:<a@b>\r\nRCPT TO:<x@y>\r\nBDAT 3\r\nab");
    EXPECT_TRUE(is(false, true));
    r.feed("c");
    EXPECT_TRUE(is(false, false));
}

// ---- the log

TEST_F(server_engine, logs_the_dialogue) {
    play(data() + lines{"C: secret", "C: more", "C: ."} + processed("secret\\r\\nmore\\r\\n") +
         lines{"R: NOOP a\tb\r\n", "S: 250 noop"});
    EXPECT_THAT(
        last->log.lines,
        ElementsAre("info: tx>>: \"220 test.example.com -- E-MailRelay V2.6.1 -- Service ready\"",
                    "info: rx<<: \"HELO client\"", "info: tx>>: \"250 hello\"",
                    "info: rx<<: \"MAIL FROM:<a@b>\"", "info: tx>>: \"250 sender <a@b> OK\"",
                    "info: rx<<: \"RCPT TO:<x@y>\"", "info: tx>>: \"250 recipient <x@y> OK\"",
                    "info: rx<<: \"DATA\"", "info: tx>>: \"354 start mail input -- end with <CRLF>.<CRLF>\"",
                    "info: rx<<: [message content not logged]", "info: tx>>: \"250 message processed\"",
                    "info: rx<<: \"NOOP a\\tb\"", "info: tx>>: \"250 noop\""));
}

TEST_F(server_engine, logs_only_warnings_unless_verbose) {
    server_recorder r(settings);
    r.log.everything = false;
    r.feed("HELO x\r\nMAIL FROM:<>\r\nRCPT TO:<x@y>\r\nDATA\r\n.\r\nQUIT\r\n");
    EXPECT_THAT(r.log.lines, Contains("warning: empty MAIL-FROM return path"));
    EXPECT_THAT(r.log.lines, Not(Contains(HasSubstr("rx<<"))));
}

TEST_F(server_engine, passwords_are_not_logged) {
    server_recorder r(settings);
    r.feed("auth login Ym9i\r\nAUTH\r\nAUTH CRAM-MD5\r\n");
    EXPECT_THAT(r.log.lines, Contains("info: rx<<: \"auth login [not logged]\""));
    EXPECT_THAT(r.log.lines, Contains("info: rx<<: \"AUTH\""));
    EXPECT_THAT(r.log.lines, Contains("info: rx<<: \"AUTH CRAM-MD5\""));
}
