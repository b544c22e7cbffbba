// Conversations of the client engine, row by row of spec/smtp-client.md sections 4, 7 and 9. Each one is
// played again with the replies octet by octet and cut at every place. Then a server that understands what it
// is told misbehaves at every step in every way: what is reported must be what it did.
#include "smtp/client_engine.hpp"

#include "smtp/client_dialogue_test.hpp"

#include <gtest/gtest.h>

#include <fmt/format.h>

namespace {

using namespace smtp::testing;
using smtp::client_engine;
using smtp::client_settings;
using strings = std::vector<std::string>;

// ---- scripts: what the client is to say, to the octet, and what it is answered

struct exchange {
    std::string says;
    std::string answer; // closes_now, says_nothing, or reply text; lines of a group are joined by CR-LF
    bool raw = false;   // `says` has no line end of its own: content of BDAT
};
const std::string closes_now = "<close>";
const std::string says_nothing = "<silence>";

struct play_result {
    strings events;
    recording_sink log;
};

play_result play_once(const client_settings& s, const std::vector<letter>& letters,
                      const std::vector<exchange>& script, std::size_t piece, std::size_t content_piece,
                      bool ahead = false) {
    play_result result;
    client_engine engine(s, base::logger(result.log));
    std::size_t step = 0;
    const auto peer = [&](const std::string& said) -> turn {
        if (step == script.size()) {
            EXPECT_EQ(said, "QUIT\r\n") << "after the script";
            return {turn::kind::closes, {}};
        }
        const exchange& now = script[step++];
        EXPECT_EQ(said, now.raw ? now.says : crlf(now.says)) << "at step " << step;
        if (now.answer == closes_now)
            return {turn::kind::closes, {}};
        if (now.answer == says_nothing)
            return {turn::kind::stays_silent, {}};
        return {turn::kind::replies, crlf(now.answer)};
    };
    result.events = drive(engine, letters, peer, piece, content_piece, ahead);
    EXPECT_EQ(step, script.size()) << "the client did not come to the end of the script";
    return result;
}

// Plays the script whole, octet by octet, and with every piece size in between.
play_result play(const client_settings& s, const std::vector<letter>& letters,
                 const std::vector<exchange>& script, bool ahead = false) {
    play_result whole = play_once(s, letters, script, std::string::npos, std::string::npos, ahead);
    std::size_t longest = 1;
    for (const exchange& e : script)
        longest = std::max(longest, e.answer.size() + 2);
    for (std::size_t piece = 1; piece <= std::min<std::size_t>(longest, 200); ++piece) {
        const play_result again = play_once(s, letters, script, piece, piece, ahead);
        EXPECT_EQ(again.events, whole.events) << "in pieces of " << piece;
        EXPECT_EQ(again.log.lines, whole.log.lines) << "in pieces of " << piece;
    }
    return whole;
}

strings play_whole(const std::vector<letter>& letters, const std::vector<exchange>& script) {
    return play_once(settings(), letters, script, std::string::npos, std::string::npos).events;
}

const exchange greeting{"", "220 them.example ESMTP"};
const exchange ehlo{"EHLO me.example", "250 them.example"};
const exchange mail_from{"MAIL FROM:<s@a>", "250 ok"};
const exchange rcpt_to{"RCPT TO:<r@b>", "250 ok"};
const exchange data{"DATA", "354 go"};
const exchange body{"hi\r\n.", "250 taken"};
const exchange reset{"RSET", "250 ok"};

exchange ehlo_with(const std::string& keywords) {
    return {"EHLO me.example", "250-them.example\r\n" + keywords};
}

strings events_of(const std::vector<exchange>& script, const std::vector<letter>& letters = {a_letter()},
                  const client_settings& s = settings()) {
    return play(s, letters, script).events;
}

// ---- section 4: session start

TEST(session_start, nothing_to_send) {
    const auto result = play(settings(), {}, {greeting, ehlo});
    EXPECT_EQ(result.events, strings{"over"});
    EXPECT_EQ(result.log.lines, (strings{"rx<<: \"220 them.example ESMTP\"", "tx>>: \"EHLO me.example\"",
                                         "rx<<: \"250 them.example\"", "tx>>: \"QUIT\""}));
}

TEST(session_start, greeting_of_several_lines) {
    EXPECT_EQ(
        events_of(
            {{"", "220-them.example\r\n220-no spam\r\n220 please"}, ehlo, mail_from, rcpt_to, data, body}),
        (strings{"sent", "over"}));
}

TEST(session_start, other_greetings_are_session_errors) {
    for (const std::string reply : {"554 no", "421 no", "250 no", "221 no", "354 no", "120 no"}) {
        const auto result = play(settings(), {a_letter()}, {{"", reply}});
        EXPECT_EQ(result.events, strings{"session failed with message: smtp error: unexpected response: no"})
            << reply;
        EXPECT_TRUE(result.log.has("warning: client protocol: unexpected response [no]"));
    }
}

TEST(session_start, silence_instead_of_a_greeting) {
    const auto result =
        play(settings(), {a_letter()}, {{"", says_nothing}, ehlo, mail_from, rcpt_to, data, body});
    EXPECT_EQ(result.events, (strings{"sent", "over"}));
    EXPECT_TRUE(result.log.has("warning: timeout: no greeting from remote server after 7s: continuing"));
}

TEST(session_start, late_greeting) {
    const exchange silence{"", says_nothing};
    EXPECT_EQ(events_of({silence, {"EHLO me.example", "220 late\r\n250 ok"}, mail_from, rcpt_to, data, body}),
              (strings{"sent", "over"}));
    EXPECT_EQ(events_of({silence,
                         {"EHLO me.example", "220 late"},
                         {"", "250-x\r\n250 PIPELINING"},
                         mail_from,
                         rcpt_to,
                         data,
                         body}),
              (strings{"sent", "over"}));
    EXPECT_EQ(events_of({silence,
                         {"EHLO me.example", "500 wait"},
                         {"HELO me.example", "220 late\r\n250 ok"},
                         mail_from,
                         rcpt_to,
                         data,
                         body}),
              (strings{"sent", "over"}));
    EXPECT_EQ(events_of({silence, {"EHLO me.example", "554 late"}}),
              strings{"session failed with message: smtp error: unexpected response: late"});
    EXPECT_EQ(events_of({silence, {"EHLO me.example", "220 late\r\n220 twice"}}),
              strings{"session failed with message: smtp error: unexpected response: twice"});
    EXPECT_EQ(play_whole({}, {silence, {"EHLO me.example", "250 ok\r\n220 too late"}}),
              strings{"session failed: smtp error: unexpected response: too late"});
}

// The first half of the greeting is there when the time is up.
TEST(session_start, greeting_cut_by_the_time_limit) {
    recording_sink sink;
    client_engine engine(settings(), base::logger(sink));
    engine.feed(std::string_view("220-them"));
    ASSERT_TRUE(std::holds_alternative<smtp::read_reply>(engine.next()));
    engine.timed_out(20);
    const auto action = engine.next();
    ASSERT_TRUE(std::holds_alternative<smtp::read_reply>(action));
    EXPECT_FALSE(std::get<smtp::read_reply>(action).continued) << "a new time limit for a new reply";
    EXPECT_EQ(engine.take_output(), "EHLO me.example\r\n");
    engine.feed(std::string_view(".example\r\n220 hi\r\n250 ok\r\n"));
    EXPECT_TRUE(std::holds_alternative<smtp::session_ready>(engine.next()));
}

TEST(session_start, greeting_after_ehlo_was_answered_is_unexpected) {
    EXPECT_EQ(events_of({{"", says_nothing}, {"EHLO me.example", "250 ok"}, {"MAIL FROM:<s@a>", "220 late"}}),
              strings{"session failed with message: smtp error: unexpected response: late"});
}

TEST(session_start, helo_after_500_501_502) {
    for (const std::string code : {"500", "501", "502"}) {
        EXPECT_EQ(events_of({greeting,
                             {"EHLO me.example", code + " what"},
                             {"HELO me.example", "250-x\r\n250-PIPELINING\r\n250 8BITMIME"},
                             mail_from,
                             rcpt_to,
                             data,
                             body},
                            {a_letter()}, settings(true)),
                  (strings{"sent", "over"}))
            << "no extension is usable after HELO";
    }
    EXPECT_EQ(events_of({greeting, {"EHLO me.example", "500 what"}, {"HELO me.example", "502 no"}}),
              strings{"session failed with message: smtp error: unexpected response: no"});
    EXPECT_EQ(events_of({greeting, {"EHLO me.example", "500 what"}, {"HELO me.example", "450 no"}}),
              strings{"session failed with message: smtp error: unexpected response: no"});
}

TEST(session_start, other_refusals_of_ehlo_are_session_errors) {
    for (const std::string code : {"421", "450", "503", "504", "550", "554", "220", "221", "251", "354"})
        EXPECT_EQ(events_of({greeting, {"EHLO me.example", code + "-no\r\n" + code + " way"}}),
                  strings{"session failed with message: smtp error: unexpected response: no\nway"})
            << code;
}

// Each keyword shows in what is said afterwards.
TEST(session_start, keywords_are_whole_words_in_any_case) {
    const exchange group{"MAIL FROM:<s@a>\r\nRCPT TO:<r@b>", "250 ok\r\n250 ok"};
    for (const std::string line :
         {"250 PIPELINING", "250 pipelining", "250 PipeLining x", "250-SIZE\r\n250-pipelining\r\n250 HELP"})
        EXPECT_EQ(events_of({greeting, ehlo_with(line), group, data, body}, {a_letter()}, settings(true)),
                  (strings{"sent", "over"}))
            << line;
    for (const std::string line : {"250 PIPELININGX", "250 XPIPELINING", "250 X PIPELINING",
                                   "250  PIPELINING", "250 PIPELINING=x", "250 PIPE LINING", "250-"})
        EXPECT_EQ(events_of({greeting, ehlo_with(line + (line == "250-" ? "\r\n250 x" : "")), mail_from,
                             rcpt_to, data, body},
                            {a_letter()}, settings(true)),
                  (strings{"sent", "over"}))
            << line;
    EXPECT_EQ(events_of({greeting, {"EHLO me.example", "250 PIPELINING"}, mail_from, rcpt_to, data, body},
                        {a_letter()}, settings(true)),
              (strings{"sent", "over"}))
        << "the first line is the peer's name";
}

// ---- section 7.1: parameters of MAIL

struct parameter_row {
    mail::body_type content;
    bool utf8;
    const char* keywords;
    const char* parameters;
};

TEST(mail_parameters, every_row) {
    using enum mail::body_type;
    const parameter_row rows[] = {
        {unknown, false, "8BITMIME", ""},
        {seven_bit, false, "8BITMIME", " BODY=7BIT"},
        {eight_bit, false, "8BITMIME", " BODY=8BITMIME"},
        {seven_bit, false, "SIZE", ""},
        {eight_bit, false, "SIZE", ""},
        {binary_mime, false, "8BITMIME", ""},
        {binary_mime, false, "CHUNKING", ""},
        {binary_mime, false, "BINARYMIME", ""},
        {unknown, true, "SMTPUTF8", " SMTPUTF8"},
        {unknown, false, "SMTPUTF8", ""},
        {unknown, true, "SIZE", ""},
        {eight_bit, true, "8BITMIME\r\n250 SMTPUTF8", " BODY=8BITMIME SMTPUTF8"},
        {eight_bit, true, "SIZE 1000\r\n250 AUTH PLAIN", ""}, // neither SIZE nor AUTH is ever said
    };
    client_settings lenient = settings();
    lenient.smtputf8_strict = lenient.binarymime_strict = false;
    for (const parameter_row& row : rows) {
        letter one = a_letter();
        one.envelope.content = row.content;
        one.envelope.utf8_mailboxes = row.utf8;
        std::string keywords = std::string("250 ") + row.keywords;
        if (keywords.find('\r') != std::string::npos)
            keywords[3] = '-';
        EXPECT_EQ(events_of({greeting,
                             ehlo_with(keywords),
                             {std::string("MAIL FROM:<s@a>") + row.parameters, "250 ok"},
                             rcpt_to,
                             data,
                             body},
                            {one}, lenient),
                  (strings{"sent", "over"}))
            << row.keywords;
    }
}

TEST(mail_parameters, binarymime) {
    letter one = a_letter("a\r.\nb");
    one.envelope.content = mail::body_type::binary_mime;
    one.envelope.utf8_mailboxes = true;
    EXPECT_EQ(events_of({greeting,
                         ehlo_with("250-CHUNKING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250 BINARYMIME"),
                         {"MAIL FROM:<s@a> BODY=BINARYMIME SMTPUTF8", "250 ok"},
                         rcpt_to,
                         {"BDAT 5 LAST\r\na\r.\nb", "250 ok", true}},
                        {one}),
              (strings{"sent", "over"}));
}

TEST(mail_parameters, empty_reverse_path) {
    letter one = a_letter();
    one.envelope.from.clear();
    EXPECT_EQ(events_of({greeting, ehlo, {"MAIL FROM:<>", "250 ok"}, rcpt_to, data, body}, {one}),
              (strings{"sent", "over"}));
}

// ---- section 7.2: what the peer cannot take

struct strict_row {
    mail::body_type content;
    bool utf8;
    const char* keyword; // that would help
    const char* failure; // when strict
    const char* warning; // when lenient
    bool client_settings::*strict;
};

const strict_row strict_rows[] = {
    {mail::body_type::eight_bit, false, "250 8BITMIME", "cannot send 8-bit message to 7-bit server",
     "warning: sending 8-bit message to 7-bit server", &client_settings::eightbit_strict},
    {mail::body_type::binary_mime, false, "250-CHUNKING\r\n250 BINARYMIME",
     "cannot send binarymime message to a non-chunking server",
     "warning: sending binarymime message to a non-chunking server", &client_settings::binarymime_strict},
    {mail::body_type::unknown, true, "250 SMTPUTF8", "cannot send utf8 message to non-smtputf8 server",
     "warning: sending utf8 message to non-smtputf8 server", &client_settings::smtputf8_strict},
};

letter strict_letter(const strict_row& row) {
    letter one = a_letter();
    one.envelope.content = row.content;
    one.envelope.utf8_mailboxes = row.utf8;
    return one;
}

TEST(strictness, defaults) {
    EXPECT_FALSE(client_settings{}.eightbit_strict);
    EXPECT_TRUE(client_settings{}.binarymime_strict);
    EXPECT_TRUE(client_settings{}.smtputf8_strict);
}

TEST(strictness, strict_fails_the_message_and_goes_on) {
    for (const strict_row& row : strict_rows) {
        client_settings strict = settings();
        strict.*row.strict = true;
        const auto result = play(strict, {strict_letter(row), a_letter()},
                                 {greeting, ehlo_with("250 SIZE"), mail_from, rcpt_to, data, body});
        EXPECT_EQ(result.events, (strings{std::string("failed: ") + row.failure, "sent", "over"}));
        EXPECT_TRUE(result.log.has(std::string("warning: smtp client protocol: ") + row.failure));
    }
}

TEST(strictness, lenient_warns_and_sends) {
    for (const strict_row& row : strict_rows) {
        client_settings lenient = settings();
        lenient.*row.strict = false;
        const auto result = play(lenient, {strict_letter(row), strict_letter(row)},
                                 {greeting, ehlo_with("250 SIZE"), mail_from, rcpt_to, data, body, mail_from,
                                  rcpt_to, data, body});
        EXPECT_EQ(result.events, (strings{"sent", "sent", "over"}));
        EXPECT_TRUE(result.log.has(row.warning));
        if (row.content == mail::body_type::eight_bit) {
            EXPECT_EQ(std::ranges::count(result.log.lines, row.warning), 1) << "once for the connection";
        }
    }
}

TEST(strictness, half_of_what_binarymime_needs_is_not_enough) {
    for (const std::string keyword : {"CHUNKING", "BINARYMIME"})
        EXPECT_EQ(events_of({greeting, ehlo_with("250 " + keyword)}, {strict_letter(strict_rows[1])}),
                  (strings{"failed: cannot send binarymime message to a non-chunking server", "over"}));
}

TEST(strictness, envelopes_that_cannot_be_said) {
    EXPECT_EQ(events_of({greeting, ehlo}, {a_letter("hi\n", {})}),
              (strings{"failed: no remote recipients", "over"}));
    for (const std::string& bad :
         {std::string("r@b>\r\nRSET"), std::string("r\n@b"), std::string("r\r@b"), std::string("r\0@b", 4)}) {
        letter from = a_letter();
        from.envelope.from = bad;
        const strings expected{"failed: invalid address in envelope", "failed: invalid address in envelope",
                               "over"};
        EXPECT_EQ(events_of({greeting, ehlo}, {from, a_letter("hi\n", {"r@b", bad})}), expected);
    }
}

// ---- section 7.3: dialogue

TEST(dialogue, one_message) {
    const auto result = play(settings(), {a_letter("a\n.b")},
                             {greeting, ehlo, mail_from, rcpt_to, data, {"a\r\n..b\r\n.", "250 taken"}});
    EXPECT_EQ(result.events, (strings{"sent", "over"}));
    EXPECT_EQ(result.log.lines, (strings{"rx<<: \"220 them.example ESMTP\"", "tx>>: \"EHLO me.example\"",
                                         "rx<<: \"250 them.example\"", "tx>>: \"MAIL FROM:<s@a>\"",
                                         "rx<<: \"250 ok\"", "tx>>: \"RCPT TO:<r@b>\"", "rx<<: \"250 ok\"",
                                         "tx>>: \"DATA\"", "rx<<: \"354 go\"", "tx>>: [2 line(s) of content]",
                                         "tx>>: \".\"", "rx<<: \"250 taken\"", "tx>>: \"QUIT\""}));
}

TEST(dialogue, several_messages_without_rset) {
    EXPECT_EQ(events_of({greeting,
                         ehlo,
                         mail_from,
                         rcpt_to,
                         data,
                         body,
                         mail_from,
                         rcpt_to,
                         data,
                         {".", "250 ok"},
                         mail_from,
                         {"RCPT TO:<x@b>", "250 ok"},
                         {"RCPT TO:<y@b>", "251 ok"},
                         {"RCPT TO:<x@b>", "250 ok"},
                         data,
                         body},
                        {a_letter(), a_letter(""), a_letter("hi\n", {"x@b", "y@b", "x@b"})}),
              (strings{"sent", "sent", "sent", "over"}));
}

TEST(dialogue, peer_text_cannot_forge_log_lines) {
    const auto result = play(
        settings(), {a_letter()},
        {greeting, ehlo, {"MAIL FROM:<s@a>", "250 a\x01\x1b\\\rb"}, rcpt_to, data, {"hi\r\n.", "354 x\x07"}});
    EXPECT_TRUE(result.log.has("rx<<: \"250 a\\x01\\x1b\\\\\\rb\""));
    EXPECT_EQ(result.events.front(), "refused 354: x\x07") << "the reason is raw, the envelope escapes it";
}

TEST(dialogue, no_text_is_built_for_a_silent_log) {
    recording_sink quiet(false);
    client_engine engine(settings(), base::logger(quiet));
    strings said;
    const strings answers{"220 x", "250 x", "250 x", "250 x", "354 x", "250 x", ""};
    std::size_t step = 0;
    EXPECT_EQ(drive(engine, {a_letter()},
                    [&](const std::string&) {
                        return turn{turn::kind::replies, crlf(answers[step++])};
                    }),
              (strings{"sent", "over"}));
    EXPECT_TRUE(quiet.lines.empty());
}

TEST(dialogue, mail_replies) {
    for (const std::string code : {"400", "450", "452", "500", "550", "552", "599"})
        EXPECT_EQ(events_of({greeting,
                             ehlo,
                             {"MAIL FROM:<s@a>", code + "-not\r\n" + code + " you"},
                             mail_from,
                             rcpt_to,
                             data,
                             body},
                            {a_letter(), a_letter()}),
                  (strings{"refused " + code + ": not\nyou", "sent", "over"}));
    for (const std::string code : {"100", "200", "220", "251", "299", "300", "354"})
        EXPECT_EQ(events_of({greeting, ehlo, {"MAIL FROM:<s@a>", code + " odd"}}, {a_letter(), a_letter()}),
                  strings{"session failed with message: smtp error: unexpected response: odd"});
}

TEST(dialogue, rcpt_replies) {
    for (const std::string code : {"100", "200", "250", "251", "252", "354", "399"})
        EXPECT_EQ(events_of({greeting, ehlo, mail_from, {"RCPT TO:<r@b>", code + " fine"}, data, body}),
                  (strings{"sent", "over"}));
    for (const std::string code : {"400", "450", "500", "550", "599"})
        EXPECT_EQ(events_of({greeting,
                             ehlo,
                             mail_from,
                             {"RCPT TO:<r@b>", code + " no"},
                             reset,
                             mail_from,
                             rcpt_to,
                             data,
                             body},
                            {a_letter(), a_letter()}),
                  (strings{"refused " + code + ": one or more recipients rejected", "sent", "over"}));
}

TEST(dialogue, data_replies) {
    for (const std::string code : {"400", "450", "503", "554", "599"})
        EXPECT_EQ(events_of({greeting,
                             ehlo,
                             mail_from,
                             rcpt_to,
                             {"DATA", code + "-no\r\n" + code + " data"},
                             reset,
                             mail_from,
                             rcpt_to,
                             data,
                             body},
                            {a_letter(), a_letter()}),
                  (strings{"refused " + code + ": no\ndata", "sent", "over"}));
    for (const std::string code : {"100", "200", "250", "350", "353", "355"})
        EXPECT_EQ(events_of({greeting, ehlo, mail_from, rcpt_to, {"DATA", code + " odd"}},
                            {a_letter(), a_letter()}),
                  strings{"session failed with message: smtp error: unexpected response: odd"});
}

TEST(dialogue, final_replies) {
    for (const std::string code : {"200", "250", "251", "299"})
        EXPECT_EQ(events_of({greeting, ehlo, mail_from, rcpt_to, data, {"hi\r\n.", code + " ok"}}),
                  (strings{"sent", "over"}));
    for (const std::string code : {"100", "300", "354", "400", "451", "500", "554", "599"})
        EXPECT_EQ(events_of({greeting,
                             ehlo,
                             mail_from,
                             rcpt_to,
                             data,
                             {"hi\r\n.", code + "-bad\r\n" + code + " text"},
                             mail_from,
                             rcpt_to,
                             data,
                             body},
                            {a_letter(), a_letter()}),
                  (strings{"refused " + code + ": bad\ntext", "sent", "over"}));
}

// 421 says that the peer closes: the message in hand gets its text, the next one is not wasted on the dead
// session.
TEST(dialogue, service_closing) {
    const strings expected{"refused 421: bye", "session failed: smtp error: unexpected response: bye"};
    const std::vector<letter> two{a_letter(), a_letter()};
    EXPECT_EQ(events_of({greeting, ehlo, {"MAIL FROM:<s@a>", "421 bye"}}, two), expected);
    EXPECT_EQ(events_of({greeting, ehlo, mail_from, {"RCPT TO:<r@b>", "421 bye"}}, two), expected);
    EXPECT_EQ(events_of({greeting, ehlo, mail_from, rcpt_to, {"DATA", "421 bye"}}, two), expected);
    EXPECT_EQ(events_of({greeting, ehlo, mail_from, rcpt_to, data, {"hi\r\n.", "421 bye"}}, two), expected);
    EXPECT_EQ(events_of({greeting, ehlo, mail_from, {"RCPT TO:<r@b>", "550 no"}, {"RSET", "421 bye"}}, two),
              (strings{"refused 550: one or more recipients rejected",
                       "session failed: smtp error: unexpected response: bye"}));
}

// ---- pipelining

TEST(pipelining, one_write_for_the_group) {
    const exchange two_recipients{"MAIL FROM:<s@a>\r\nRCPT TO:<x@b>\r\nRCPT TO:<y@b>",
                                  "250 ok\r\n250 ok\r\n250 ok"};
    EXPECT_EQ(events_of({greeting, ehlo_with("250 PIPELINING"), two_recipients, data, body, two_recipients,
                         data, body},
                        {a_letter("hi\n", {"x@b", "y@b"}), a_letter("hi\n", {"x@b", "y@b"})}, settings(true)),
              (strings{"sent", "sent", "over"}));
}

TEST(pipelining, needs_both_the_option_and_the_peer) {
    EXPECT_EQ(events_of({greeting, ehlo_with("250 PIPELINING"), mail_from, rcpt_to, data, body}),
              (strings{"sent", "over"}));
    EXPECT_EQ(events_of({greeting, ehlo, mail_from, rcpt_to, data, body}, {a_letter()}, settings(true)),
              (strings{"sent", "over"}));
}

TEST(pipelining, mail_refused_and_the_recipients_answered_all_the_same) {
    const std::string said = "MAIL FROM:<s@a>\r\nRCPT TO:<x@b>\r\nRCPT TO:<y@b>";
    const std::vector<letter> two{a_letter("hi\n", {"x@b", "y@b"}), a_letter("hi\n", {"x@b", "y@b"})};
    for (const std::string answer :
         {"452 full\r\n503 mail first\r\n503 mail first", "452 full\r\n250 ok\r\n250 ok"})
        EXPECT_EQ(events_of({greeting,
                             ehlo_with("250 PIPELINING"),
                             {said, answer},
                             {said, "250 a\r\n250 b\r\n250 c"},
                             data,
                             body},
                            two, settings(true)),
                  (strings{"refused 452: full", "sent", "over"}));
    EXPECT_EQ(
        events_of({greeting, ehlo_with("250 PIPELINING"), {said, "452 full\r\n503 no"}, {"", closes_now}},
                  two, settings(true)),
        (strings{"refused 452: full", "session failed: peer disconnected"}));
}

TEST(pipelining, replies_are_matched_in_order) {
    const std::string said = "MAIL FROM:<s@a>\r\nRCPT TO:<x@b>\r\nRCPT TO:<y@b>\r\nRCPT TO:<z@b>";
    const std::vector<letter> one{a_letter("hi\n", {"x@b", "y@b", "z@b"})};
    EXPECT_EQ(events_of({greeting,
                         ehlo_with("250 PIPELINING"),
                         {said, "250 a\r\n551 b\r\n250 c\r\n452-d\r\n452 e"},
                         reset},
                        one, settings(true)),
              (strings{"refused 452: one or more recipients rejected", "over"}));
    EXPECT_EQ(events_of({greeting,
                         ehlo_with("250 PIPELINING"),
                         {said, "250 a\r\n551 b\r\n250 c\r\n452-d\r\n452 e"},
                         data,
                         body},
                        one, settings(true, true)),
              (strings{"sent to some: one or more recipients rejected [x@b,z@b]", "over"}));
}

// Thousands of recipients go in groups: neither side may have to hold more than socket buffers do.
TEST(pipelining, many_recipients) {
    constexpr std::size_t count = 10'000;
    letter one = a_letter("hi\n", {});
    for (std::size_t i = 0; i < count; ++i)
        one.envelope.to_remote.push_back(
            fmt::format("{}@{}.example", i, std::string(i < count / 2 ? 200 : 3, 'x')));
    recording_sink sink(false);
    client_engine engine(settings(true, true), base::logger(sink));
    std::size_t largest = 0;
    std::size_t recipients = 0;
    const auto peer = [&](const std::string& said) -> turn {
        largest = std::max(largest, said.size());
        std::string answer;
        for (std::size_t at = 0; at < said.size(); at = said.find('\n', at) + 1) {
            const bool to = said.compare(at, 4, "RCPT") == 0;
            const bool go = said.compare(at, 4, "DATA") == 0;
            answer += to && ++recipients % 5000 == 0 ? "550 no\r\n"
                      : go                           ? "354 go\r\n"
                                                     : "250-x\r\n250 PIPELINING\r\n";
            if (said.compare(at, 3, "hi\r") == 0)
                break;
        }
        return {turn::kind::replies, said.empty() ? "220 hi\r\n" : answer};
    };
    const strings events = drive(engine, {one}, peer);
    EXPECT_EQ(recipients, count);
    EXPECT_LE(largest, 65'536U + 300);
    EXPECT_EQ(events, (strings{fmt::format("sent to some: one or more recipients rejected [{},{}]",
                                           one.envelope.to_remote[4999], one.envelope.to_remote[9999]),
                               "over"}));
}

// ---- the next message begins behind the data of the one before

strings events_ahead(const std::vector<exchange>& script, const std::vector<letter>& letters,
                     const client_settings& s = settings(true)) {
    return play(s, letters, script, true).events;
}

const exchange group{"MAIL FROM:<s@a>\r\nRCPT TO:<r@b>", "250 ok\r\n250 ok"};

exchange body_and_group(const std::string& answer) {
    return {body.says + "\r\n" + group.says, answer};
}

TEST(following, two_round_trips_for_a_message) {
    const exchange middle = body_and_group("250 taken\r\n250 ok\r\n250 ok");
    EXPECT_EQ(
        events_ahead({greeting, ehlo_with("250 PIPELINING"), group, data, middle, data, middle, data, body},
                     {3, a_letter()}),
        (strings{"sent", "sent", "sent", "over"}));
}

TEST(following, only_with_pipelining_and_not_behind_chunks) {
    const std::vector<exchange> one_by_one{mail_from, rcpt_to, data, body, mail_from, rcpt_to, data, body};
    std::vector<exchange> script{greeting, ehlo};
    script.insert(script.end(), one_by_one.begin(), one_by_one.end());
    EXPECT_EQ(events_ahead(script, {2, a_letter()}), (strings{"sent", "sent", "over"}));
    script[1] = ehlo_with("250 PIPELINING");
    EXPECT_EQ(events_ahead(script, {2, a_letter()}, settings()), (strings{"sent", "sent", "over"}));

    letter binary = a_letter("hi\n");
    binary.envelope.content = mail::body_type::binary_mime;
    EXPECT_EQ(events_ahead({greeting,
                            ehlo_with("250-CHUNKING\r\n250-BINARYMIME\r\n250 PIPELINING"),
                            {"MAIL FROM:<s@a> BODY=BINARYMIME\r\nRCPT TO:<r@b>", "250 ok\r\n250 ok"},
                            {"BDAT 3 LAST\r\nhi\n", "250 taken", true},
                            group,
                            data,
                            body},
                           {binary, a_letter()}),
              (strings{"sent", "sent", "over"}));
}

TEST(following, a_message_that_cannot_be_sent_does_not_begin) {
    EXPECT_EQ(events_ahead({greeting, ehlo_with("250 PIPELINING"), group, data, body, group, data, body},
                           {a_letter(), a_letter("hi\n", {}), a_letter()}),
              (strings{"sent", "failed: no remote recipients", "sent", "over"}));
}

TEST(following, the_message_before_is_refused) {
    EXPECT_EQ(events_ahead({greeting, ehlo_with("250 PIPELINING"), group, data,
                            body_and_group("554 spam\r\n250 ok\r\n250 ok"), data, body},
                           {2, a_letter()}),
              (strings{"refused 554: spam", "sent", "over"}));
}

// What it is sent with does not say what its predecessor was sent with.
TEST(following, chunks_behind_a_message_that_is_refused) {
    letter binary = a_letter("hi\n");
    binary.envelope.content = mail::body_type::binary_mime;
    EXPECT_EQ(events_ahead({greeting,
                            ehlo_with("250-CHUNKING\r\n250-BINARYMIME\r\n250 PIPELINING"),
                            group,
                            data,
                            {body.says + "\r\nMAIL FROM:<s@a> BODY=BINARYMIME\r\nRCPT TO:<r@b>",
                             "554 spam\r\n250 ok\r\n250 ok"},
                            {"BDAT 3 LAST\r\nhi\n", "250 taken", true}},
                           {a_letter(), binary}),
              (strings{"refused 554: spam", "sent", "over"}));
}

TEST(following, refused_recipients_belong_to_the_message_before) {
    const letter two = a_letter("hi\n", {"x@b", "y@b"});
    const exchange first{"MAIL FROM:<s@a>\r\nRCPT TO:<x@b>\r\nRCPT TO:<y@b>", "250 a\r\n550 b\r\n250 c"};
    EXPECT_EQ(events_ahead({greeting, ehlo_with("250 PIPELINING"), first, data,
                            body_and_group("250 taken\r\n250 ok\r\n250 ok"), data, body},
                           {two, a_letter()}, settings(true, true)),
              (strings{"sent to some: one or more recipients rejected [x@b]", "sent", "over"}));
}

TEST(following, it_is_refused_itself) {
    EXPECT_EQ(events_ahead({greeting, ehlo_with("250 PIPELINING"), group, data,
                            body_and_group("250 taken\r\n452 full\r\n503 no"), group, data, body},
                           {3, a_letter()}),
              (strings{"sent", "refused 452: full", "sent", "over"}));
    EXPECT_EQ(events_ahead({greeting, ehlo_with("250 PIPELINING"), group, data,
                            body_and_group("250 taken\r\n250 ok\r\n550 no"), reset},
                           {2, a_letter()}),
              (strings{"sent", "refused 550: one or more recipients rejected", "over"}));
}

// Servers that take a number of messages over one connection end it so.
TEST(following, an_end_of_the_session_does_not_touch_it) {
    const std::vector<exchange> start{greeting, ehlo_with("250 PIPELINING"), group, data};
    auto events = [&](const std::vector<exchange>& rest) {
        std::vector<exchange> script = start;
        script.insert(script.end(), rest.begin(), rest.end());
        return events_ahead(script, {2, a_letter()});
    };
    const exchange nothing_more{"", closes_now};
    EXPECT_EQ(events({body_and_group("250 taken"), nothing_more}),
              (strings{"sent", "session failed: peer disconnected"}));
    EXPECT_EQ(events({body_and_group("250 taken\r\n421 enough")}),
              (strings{"sent", "session failed: smtp error: unexpected response: enough"}));
    EXPECT_EQ(events({body_and_group("421 enough")}),
              (strings{"refused 421: enough", "session failed: smtp error: unexpected response: enough"}));
    EXPECT_EQ(events({body_and_group(closes_now)}),
              (strings{"session failed with message: peer disconnected"}));
    EXPECT_EQ(events({body_and_group("250 taken\r\n250 ok"), nothing_more}),
              (strings{"sent", "session failed with message: peer disconnected"}));
}

// A reply too many would settle the wrong message.
TEST(following, replies_that_nobody_asked_for) {
    const std::vector<exchange> script{greeting, ehlo_with("250 PIPELINING"), group, data,
                                       body_and_group("250 taken\r\n250 taken\r\n250 ok\r\n250 ok")};
    EXPECT_EQ(
        play_once(settings(true), {2, a_letter()}, script, std::string::npos, std::string::npos, true).events,
        (strings{"sent", "session failed with message: smtp error: unexpected response: ok"}));
}

TEST(following, quit_instead) {
    recording_sink sink;
    client_engine engine(settings(true), base::logger(sink));
    const letter one = a_letter();
    strings written;
    auto answer = [&](const std::string& text) {
        while (std::holds_alternative<smtp::read_reply>(engine.next()) && engine.has_output())
            written.push_back(engine.take_output());
        engine.feed(text);
        return engine.next();
    };
    answer("220 hi\r\n");
    ASSERT_TRUE(std::holds_alternative<smtp::session_ready>(answer("250-x\r\n250 PIPELINING\r\n")));
    engine.send(one.envelope, one.content.size());
    answer("250 a\r\n250 b\r\n");
    ASSERT_TRUE(std::holds_alternative<smtp::read_content>(answer("354 go\r\n")));
    engine.content(one.content, true);
    ASSERT_TRUE(engine.follow(one.envelope, one.content.size()));
    EXPECT_FALSE(engine.follow(one.envelope, one.content.size()));
    ASSERT_TRUE(std::holds_alternative<smtp::message_done>(answer("250 taken\r\n")));
    engine.quit();
    ASSERT_TRUE(std::holds_alternative<smtp::session_over>(engine.next()));
    EXPECT_EQ(engine.take_output(), "QUIT\r\n");
}

// ---- BDAT

letter binary_letter(std::string content) {
    letter one = a_letter(std::move(content));
    one.envelope.content = mail::body_type::binary_mime;
    return one;
}

const exchange binary_ehlo{"EHLO me.example", "250-x\r\n250-BINARYMIME\r\n250 CHUNKING"};
const exchange binary_mail{"MAIL FROM:<s@a> BODY=BINARYMIME", "250 ok"};

TEST(bdat, content_goes_as_it_is) {
    const std::string content("\r.\n.\r\n\0\xff.", 9);
    const auto result =
        play(settings(), {binary_letter(content)},
             {greeting, binary_ehlo, binary_mail, rcpt_to, {"BDAT 9 LAST\r\n" + content, "250 ok", true}});
    EXPECT_EQ(result.events, (strings{"sent", "over"}));
    EXPECT_TRUE(result.log.has("tx>>: \"BDAT 9 LAST\" [9 bytes]"));
}

TEST(bdat, empty_content) {
    EXPECT_EQ(events_of({greeting, binary_ehlo, binary_mail, rcpt_to, {"BDAT 0 LAST", "250 ok"}},
                        {binary_letter("")}),
              (strings{"sent", "over"}));
}

TEST(bdat, only_for_binarymime) {
    EXPECT_EQ(events_of({greeting, binary_ehlo, mail_from, rcpt_to, data, body}), (strings{"sent", "over"}));
}

TEST(bdat, chunks) {
    const std::string content = some_octets(2'000'001);
    const exchange first{"BDAT 1000000\r\n" + content.substr(0, 1'000'000), "250 ok", true};
    const exchange second{"BDAT 1000000\r\n" + content.substr(1'000'000, 1'000'000), "250 ok", true};
    const exchange third{"BDAT 1 LAST\r\n" + content.substr(2'000'000), "250 ok", true};
    EXPECT_EQ(play_whole({binary_letter(content)},
                         {greeting, binary_ehlo, binary_mail, rcpt_to, first, second, third}),
              (strings{"sent", "over"}));

    const exchange last{"BDAT 1000000 LAST\r\n" + content.substr(1'000'000, 1'000'000), "250 ok", true};
    EXPECT_EQ(play_whole({binary_letter(content.substr(0, 2'000'000))},
                         {greeting, binary_ehlo, binary_mail, rcpt_to, first, last}),
              (strings{"sent", "over"}));
}

TEST(bdat, chunk_replies) {
    const std::string content = some_octets(1'000'001);
    const std::string first = "BDAT 1000000\r\n" + content.substr(0, 1'000'000);
    const std::string last = "BDAT 1 LAST\r\n" + content.substr(1'000'000);
    const std::vector<letter> two{binary_letter(content), binary_letter("x")};
    const exchange next{"BDAT 1 LAST\r\nx", "250 ok", true};
    EXPECT_EQ(play_whole(two, {greeting,
                               binary_ehlo,
                               binary_mail,
                               rcpt_to,
                               {first, "452-too\r\n452 big", true},
                               reset,
                               binary_mail,
                               rcpt_to,
                               next}),
              (strings{"refused 452: too\nbig", "sent", "over"}));
    EXPECT_EQ(play_whole(two, {greeting,
                               binary_ehlo,
                               binary_mail,
                               rcpt_to,
                               {first, "250 ok", true},
                               {last, "554 no", true},
                               reset,
                               binary_mail,
                               rcpt_to,
                               next}),
              (strings{"refused 554: no", "sent", "over"}));
    EXPECT_EQ(play_whole(two, {greeting, binary_ehlo, binary_mail, rcpt_to, {first, "251 odd", true}}),
              strings{"session failed with message: smtp error: unexpected response: odd"});
    EXPECT_EQ(play_whole(two, {greeting, binary_ehlo, binary_mail, rcpt_to, {first, closes_now, true}}),
              strings{"session failed with message: peer disconnected"});
}

TEST(bdat, content_shorter_than_announced) {
    recording_sink sink;
    client_engine engine(settings(), base::logger(sink));
    letter one = binary_letter("12345");
    for (const std::string_view answer : {"220 x\r\n", "250-x\r\n250-CHUNKING\r\n250 BINARYMIME\r\n"}) {
        engine.feed(answer);
        engine.next();
    }
    engine.send(one.envelope, 5);
    for (int i = 0; i < 2; ++i) {
        engine.next();
        engine.take_output();
        engine.feed(std::string_view("250 ok\r\n"));
    }
    const auto action = engine.next();
    ASSERT_TRUE(std::holds_alternative<smtp::read_content>(action));
    EXPECT_EQ(std::get<smtp::read_content>(action).at_most, 5U);
    engine.content(std::string_view("123"), true);
    const auto failed = engine.next();
    ASSERT_TRUE(std::holds_alternative<smtp::session_failed>(failed));
    EXPECT_TRUE(std::get<smtp::session_failed>(failed).message_in_hand);
    EXPECT_FALSE(engine.has_output());
}

// ---- section 7.4: refused recipients

const std::vector<letter> to_three{a_letter("hi\n", {"x@b", "y@b", "z@b"}), a_letter()};
exchange to(const std::string& name, const std::string& answer) {
    return {"RCPT TO:<" + name + "@b>", answer};
}

TEST(refused_recipients, forward_to_all) {
    EXPECT_EQ(events_of({greeting, ehlo, mail_from, to("x", "250 ok"), to("y", "550 no"), to("z", "452 full"),
                         reset, mail_from, rcpt_to, data, body},
                        to_three),
              (strings{"refused 452: one or more recipients rejected", "sent", "over"}));
    EXPECT_EQ(events_of({greeting, ehlo, mail_from, to("x", "551 no"), to("y", "250 ok"), to("z", "250 ok"),
                         reset, mail_from, rcpt_to, data, body},
                        to_three),
              (strings{"refused 551: one or more recipients rejected", "sent", "over"}));
    EXPECT_EQ(events_of({greeting, ehlo, mail_from, to("x", "550 no"), to("y", "551 no"), to("z", "552 no"),
                         reset, mail_from, rcpt_to, data, body},
                        to_three),
              (strings{"refused 552: one or more recipients rejected", "sent", "over"}));
}

TEST(refused_recipients, forward_to_some) {
    const auto some = play(settings(false, true), to_three,
                           {greeting, ehlo, mail_from, to("x", "550 no"), to("y", "250 ok"),
                            to("z", "452 full"), data, body, mail_from, rcpt_to, data, body});
    EXPECT_EQ(some.events,
              (strings{"sent to some: one or more recipients rejected [x@b,z@b]", "sent", "over"}));
    EXPECT_TRUE(some.log.has("warning: smtp client protocol: one or more recipients rejected"));

    EXPECT_EQ(events_of({greeting, ehlo, mail_from, to("x", "550 no"), to("y", "551 no"), to("z", "452 full"),
                         reset, mail_from, rcpt_to, data, body},
                        to_three, settings(false, true)),
              (strings{"refused 452: all recipients rejected", "sent", "over"}));
}

TEST(refused_recipients, then_the_data_is_refused) {
    const std::vector<exchange> begin{greeting,         ehlo, mail_from, to("x", "550 no"), to("y", "250 ok"),
                                      to("z", "250 ok")};
    auto at_data = begin;
    at_data.insert(at_data.end(), {{"DATA", "451 later"}, reset, mail_from, rcpt_to, data, body});
    EXPECT_EQ(events_of(at_data, to_three, settings(false, true)),
              (strings{"refused 451: later", "sent", "over"}));
    auto at_end = begin;
    at_end.insert(at_end.end(), {data, {"hi\r\n.", "554 spam"}, mail_from, rcpt_to, data, body});
    EXPECT_EQ(events_of(at_end, to_three, settings(false, true)),
              (strings{"refused 554: spam", "sent", "over"}));
}

// The outcome stands, whatever becomes of the RSET; the session may not go on without its 250.
TEST(refused_recipients, rset_fails) {
    const strings refused{"refused 550: one or more recipients rejected"};
    const auto with = [&refused](const std::string& more) {
        return strings{refused.front(), more};
    };
    const exchange no{"RCPT TO:<r@b>", "550 no"};
    const std::vector<letter> two{a_letter(), a_letter()};
    EXPECT_EQ(events_of({greeting, ehlo, mail_from, no, {"RSET", closes_now}}, two),
              with("session failed: peer disconnected"));
    EXPECT_EQ(events_of({greeting, ehlo, mail_from, no, {"RSET", says_nothing}}, two),
              with("session failed: smtp error: response timeout after 7s"));
    EXPECT_EQ(events_of({greeting, ehlo, mail_from, no, {"RSET", "rubbish"}}, two),
              with("session failed: smtp error: invalid response"));
    for (const std::string code : {"220", "354", "450", "502"})
        EXPECT_EQ(events_of({greeting, ehlo, mail_from, no, {"RSET", code + " odd"}}, two),
                  with("session failed: smtp error: unexpected response: odd"));
}

// ---- section 9: limits and replies that nobody asked for

TEST(session_errors, overflow) {
    const std::string long_line = "250 " + std::string(4093, 'x');
    std::string many_lines;
    for (int i = 0; i < 128; ++i)
        many_lines += "250-x\r\n";
    const auto at = [](const std::string& answer) {
        return play_whole({a_letter()}, {greeting, {"EHLO me.example", answer}});
    };
    EXPECT_EQ(at(long_line), strings{"session failed with message: overflow on input"});
    EXPECT_EQ(at(many_lines + "250 x"), strings{"session failed with message: overflow on input"});
    EXPECT_EQ(play_whole(
                  {a_letter()},
                  {greeting, {"EHLO me.example", long_line.substr(0, 4096)}, mail_from, rcpt_to, data, body}),
              (strings{"sent", "over"}));
    EXPECT_EQ(
        play_whole(
            {a_letter()},
            {greeting, {"EHLO me.example", many_lines.substr(7) + "250 x"}, mail_from, rcpt_to, data, body}),
        (strings{"sent", "over"}));
    EXPECT_EQ(play_whole({a_letter()}, {greeting, ehlo, mail_from, rcpt_to, data, {"hi\r\n.", long_line}}),
              strings{"session failed with message: overflow on input"});
}

TEST(session_errors, replies_that_nobody_asked_for) {
    const auto after = [](std::vector<exchange> script, std::size_t step, const std::string& extra) {
        script.resize(step + 1);
        script[step].answer += "\r\n" + extra;
        return play_whole({a_letter(), a_letter()}, script);
    };
    const std::vector<exchange> script{greeting, ehlo, mail_from, rcpt_to, data, body};
    const std::string why = "smtp error: unexpected response: extra";
    EXPECT_EQ(after(script, 0, "250 extra"), strings{"session failed with message: " + why});
    EXPECT_EQ(after(script, 1, "250 extra"), strings{"session failed: " + why});
    EXPECT_EQ(after(script, 2, "250-extra\r\n250 x"), strings{"session failed with message: " + why + "\nx"});
    EXPECT_EQ(after(script, 3, "354 extra"), strings{"session failed with message: " + why});
    EXPECT_EQ(after(script, 5, "421 extra"), (strings{"sent", "session failed: " + why}));
    EXPECT_EQ(after(script, 5, "rubbish"),
              (strings{"sent", "session failed: smtp error: unexpected response: rubbish"}));
    EXPECT_EQ(after(script, 5, std::string(5000, 'x')),
              (strings{"sent", "session failed: overflow on input"}));
}

// "250" behind "354" must not count as the answer to data that is not sent yet.
TEST(session_errors, final_reply_before_the_end_of_data) {
    recording_sink sink;
    client_engine engine(settings(), base::logger(sink));
    std::size_t step = 0;
    const strings answers{"220 x", "250 x", "250 x", "250 x", "354 go\r\n250 taken", ""};
    EXPECT_EQ(drive(engine, {a_letter()},
                    [&](const std::string&) {
                        return turn{turn::kind::replies, crlf(answers[step++])};
                    }),
              strings{"session failed with message: smtp error: unexpected response: taken"});
}

TEST(session_errors, between_messages) {
    recording_sink sink;
    const letter one = a_letter();
    const auto ready = [&sink] {
        client_engine engine(settings(), base::logger(sink));
        engine.feed(std::string_view("220 x\r\n"));
        engine.next();
        engine.feed(std::string_view("250 x\r\n"));
        EXPECT_TRUE(std::holds_alternative<smtp::session_ready>(engine.next()));
        engine.take_output();
        return engine;
    };
    const auto failure = [](client_engine& engine) {
        const auto action = engine.next();
        const auto* failed = std::get_if<smtp::session_failed>(&action);
        return failed == nullptr ? "" : (failed->message_in_hand ? "in hand: " : "") + failed->reason;
    };
    {
        client_engine engine = ready();
        engine.feed(std::string_view("421 idle\r\n"));
        engine.send(one.envelope, 3);
        EXPECT_FALSE(engine.has_output());
        EXPECT_EQ(failure(engine), "smtp error: unexpected response: idle")
            << "the message has not been touched";
    }
    {
        client_engine engine = ready();
        engine.feed(std::string_view("421 idle\r\n"));
        engine.disconnected({});
        EXPECT_EQ(failure(engine), "smtp error: unexpected response: idle")
            << "tells more than the disconnect";
    }
    {
        client_engine engine = ready();
        engine.disconnected("connection reset by peer");
        EXPECT_EQ(failure(engine), "connection reset by peer");
        EXPECT_EQ(failure(engine), "connection reset by peer") << "final";
        engine.timed_out(7);
        engine.content_failed("read error");
        EXPECT_EQ(failure(engine), "connection reset by peer") << "the first failure is the one";
    }
    {
        client_engine engine = ready();
        engine.send(one.envelope, 3);
        engine.disconnected("flow-control timeout after 7s");
        EXPECT_EQ(failure(engine), "in hand: flow-control timeout after 7s");
    }
    {
        client_engine engine = ready();
        engine.quit();
        EXPECT_EQ(engine.take_output(), "QUIT\r\n");
        engine.disconnected({});
        EXPECT_TRUE(std::holds_alternative<smtp::session_over>(engine.next()));
    }
}

// Another program, or a filter at another message with the same content, has cut it off after the claim.
TEST(session_errors, content_shorter_than_when_it_was_taken) {
    for (const std::string_view rest : {"", "lo\n"}) {
        recording_sink sink;
        client_engine engine(settings(), base::logger(sink));
        const letter one = a_letter();
        engine.next();
        for (const std::string_view answer :
             {"220 x\r\n", "250 x\r\n", "250 x\r\n", "250 x\r\n", "354 x\r\n"}) {
            engine.feed(answer);
            if (std::holds_alternative<smtp::session_ready>(engine.next()))
                engine.send(one.envelope, 7);
            engine.next();
            engine.take_output();
        }
        engine.content(std::string_view("hel"), false);
        engine.take_output();
        engine.content(rest, true);
        const auto action = engine.next();
        ASSERT_TRUE(std::holds_alternative<smtp::session_failed>(action));
        EXPECT_EQ(std::get<smtp::session_failed>(action).reason, "content is shorter than announced");
        EXPECT_TRUE(std::get<smtp::session_failed>(action).message_in_hand);
        EXPECT_FALSE(engine.has_output()) << "nothing that could complete the message";
        EXPECT_FALSE(engine.follow(one.envelope, 7)) << "nor begin another one";
    }
}

TEST(session_errors, content_cannot_be_read) {
    recording_sink sink;
    client_engine engine(settings(), base::logger(sink));
    const letter one = a_letter();
    engine.next();
    for (const std::string_view answer : {"220 x\r\n", "250 x\r\n", "250 x\r\n", "250 x\r\n", "354 x\r\n"}) {
        engine.feed(answer);
        if (std::holds_alternative<smtp::session_ready>(engine.next()))
            engine.send(one.envelope, 3);
        engine.next();
        engine.take_output();
    }
    engine.content(std::string_view("hi\n"), false);
    engine.content_failed("read x.content: input/output error");
    const auto action = engine.next();
    ASSERT_TRUE(std::holds_alternative<smtp::session_failed>(action));
    EXPECT_EQ(std::get<smtp::session_failed>(action).reason, "read x.content: input/output error");
    EXPECT_TRUE(std::get<smtp::session_failed>(action).message_in_hand);
    EXPECT_FALSE(engine.has_output()) << "nothing that could complete the message";
}

TEST(time_limits, run_on_until_the_reply_is_complete) {
    recording_sink sink;
    client_engine engine(settings(true), base::logger(sink));
    const auto wait = [&engine] {
        const auto action = engine.next();
        const auto* read = std::get_if<smtp::read_reply>(&action);
        if (read == nullptr)
            return std::string("none");
        return std::string(read->limit == smtp::read_reply::wait::greeting ? "greeting" : "reply") +
               (read->continued ? ", continued" : "");
    };
    EXPECT_EQ(wait(), "greeting");
    engine.feed(std::string_view("220-x\r\n220"));
    EXPECT_EQ(wait(), "greeting, continued");
    engine.feed(std::string_view(" x\r\n"));
    EXPECT_EQ(wait(), "reply");
    engine.feed(std::string_view("250-x\r\n"));
    EXPECT_EQ(wait(), "reply, continued");
    engine.feed(std::string_view("250 PIPELINING\r\n"));
    EXPECT_EQ(wait(), "none");
    const letter one = a_letter();
    engine.send(one.envelope, 3);
    EXPECT_EQ(wait(), "reply");
    engine.feed(std::string_view("250 x\r\n25"));
    EXPECT_EQ(wait(), "reply") << "of the next command";
    engine.feed(std::string_view("0"));
    EXPECT_EQ(wait(), "reply, continued");
}

} // namespace
