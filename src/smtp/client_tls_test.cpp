// STARTTLS and implicit TLS as the client engine sees them (spec/tls.md section 4, spec/smtp-client.md
// section 4).
//
// A session is what the server says in clear, then what it says encrypted, turn by turn; replies arrive in
// pieces of every size.
#include "smtp/client_engine.hpp"

#include "smtp/client_dialogue_test.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

using smtp::testing::recording_sink;
using ::testing::ElementsAre;

namespace {

using lines = std::vector<std::string>;

// Events: what was written, "start tls", "ready", and how it ended.
lines talk(const smtp::client_settings& settings, const lines& clear, const lines& encrypted,
           std::size_t piece = std::string::npos) {
    recording_sink sink;
    smtp::client_engine engine(settings, base::logger(sink));
    lines events;
    const lines* turns = settings.tls == smtp::tls_mode::implicit ? &encrypted : &clear;
    std::size_t turn = 0;
    for (int steps = 0; steps < 10'000; ++steps) {
        const smtp::client_action now = engine.next();
        if (engine.has_output())
            events.push_back(engine.take_output());
        if (std::holds_alternative<smtp::read_reply>(now)) {
            if (turn == turns->size()) {
                engine.disconnected({});
                continue;
            }
            // The rest of a turn is not fed once the engine wants something else: the driver would not read.
            for (std::string_view text = (*turns)[turn++]; !text.empty();) {
                engine.feed(text.substr(0, piece));
                text.remove_prefix(std::min(piece, text.size()));
                if (!text.empty() && !std::holds_alternative<smtp::read_reply>(engine.next()))
                    break;
            }
        } else if (std::holds_alternative<smtp::start_tls>(now)) {
            events.emplace_back("start tls");
            engine.tls_established({});
            turns = &encrypted;
            turn = settings.tls == smtp::tls_mode::implicit ? turn : 0;
        } else if (auto* failed = std::get_if<smtp::session_failed>(&now)) {
            events.push_back((failed->message_in_hand ? "failed with message: " : "failed: ") +
                             failed->reason);
            return events;
        } else {
            events.emplace_back("ready");
            return events;
        }
    }
    events.emplace_back("no end");
    return events;
}

smtp::client_settings with(smtp::tls_mode mode, bool required = false) {
    smtp::client_settings s = smtp::testing::settings();
    s.tls = mode;
    s.tls_required = required;
    return s;
}

using enum smtp::tls_mode;

const std::string ehlo = "EHLO me.example\r\n";
const std::string greeting = "220 hi\r\n";
const std::string offer = "250-hi\r\n250-STARTTLS\r\n250 8BITMIME\r\n";
const std::string ready = "220 go ahead\r\n";

} // namespace

TEST(client_tls, starttls_when_offered) {
    for (std::size_t piece : {std::size_t{1}, std::size_t{5}, std::string::npos})
        EXPECT_THAT(talk(with(starttls), {greeting, offer, ready}, {"250 hi\r\n"}, piece),
                    ElementsAre(ehlo, "STARTTLS\r\n", "start tls", ehlo, "ready"));
}

TEST(client_tls, offer_is_a_word_of_any_case) {
    EXPECT_THAT(talk(with(starttls), {greeting, "250-hi\r\n250 StartTLS\r\n", ready}, {"250 hi\r\n"}),
                ElementsAre(ehlo, "STARTTLS\r\n", "start tls", ehlo, "ready"));
    EXPECT_THAT(talk(with(starttls), {greeting, "250-hi\r\n250-STARTTLSX\r\n250 X-STARTTLS\r\n"}, {}),
                ElementsAre(ehlo, "ready"));
}

TEST(client_tls, not_used_unless_wanted) {
    EXPECT_THAT(talk(with(none), {greeting, offer}, {}), ElementsAre(ehlo, "ready"));
}

TEST(client_tls, offer_within_the_encrypted_session_is_left_alone) {
    EXPECT_THAT(talk(with(starttls, true), {greeting, offer, ready}, {offer}),
                ElementsAre(ehlo, "STARTTLS\r\n", "start tls", ehlo, "ready"));
    EXPECT_THAT(talk(with(implicit, true), {}, {greeting, offer}), ElementsAre("start tls", ehlo, "ready"));
}

TEST(client_tls, implicit_comes_before_the_greeting) {
    EXPECT_THAT(talk(with(implicit), {}, {greeting, "250 hi\r\n"}), ElementsAre("start tls", ehlo, "ready"));
    EXPECT_THAT(talk(with(implicit), {}, {greeting, "500 what\r\n", "250 hi\r\n"}),
                ElementsAre("start tls", ehlo, "HELO me.example\r\n", "ready"));
}

TEST(client_tls, in_clear_where_there_is_no_offer_unless_required) {
    EXPECT_THAT(talk(with(starttls), {greeting, "250 hi\r\n"}, {}), ElementsAre(ehlo, "ready"));
    EXPECT_THAT(talk(with(starttls), {greeting, "502 no\r\n", "250 hi\r\n"}, {}),
                ElementsAre(ehlo, "HELO me.example\r\n", "ready"));
    EXPECT_THAT(talk(with(starttls, true), {greeting, "250 hi\r\n"}, {}),
                ElementsAre(ehlo, "failed with message: tls is mandated but the server cannot do starttls"));
    EXPECT_THAT(talk(with(starttls, true), {greeting, "502 no\r\n", "250 hi\r\n"}, {}),
                ElementsAre(ehlo, "HELO me.example\r\n",
                            "failed with message: tls is mandated but the server cannot do esmtp"));
}

TEST(client_tls, refusal_ends_the_session) {
    for (const std::string reply : {"454 TLS not available", "501 no", "421 busy"})
        EXPECT_THAT(
            talk(with(starttls), {greeting, offer, reply + "\r\n"}, {}),
            ElementsAre(ehlo, "STARTTLS\r\n", "failed with message: tls/ssl error: " + reply.substr(4)));
    EXPECT_THAT(
        talk(with(starttls), {greeting, offer, "250 fine\r\n"}, {}),
        ElementsAre(ehlo, "STARTTLS\r\n", "failed with message: smtp error: unexpected response: fine"));
}

// Whoever sits in the middle can put replies behind the one to STARTTLS; read after the handshake they would
// be taken for the server's.
TEST(client_tls, nothing_said_behind_the_reply_survives) {
    for (const std::string more : {"250 hi\r\n", "250-AUTH PLAIN\r\n", "2", "\r\n"}) {
        const lines events = talk(with(starttls), {greeting, offer, ready + more}, {"250 hi\r\n"});
        ASSERT_EQ(events.size(), 3U);
        EXPECT_THAT(events[2],
                    ::testing::StartsWith("failed with message: smtp error: unexpected response: "));
    }
}

TEST(client_tls, what_was_learned_in_clear_is_forgotten) {
    smtp::client_settings s = with(starttls);
    s.eightbit_strict = true;
    recording_sink sink;
    smtp::client_engine engine(s, base::logger(sink));
    for (const std::string& turn : lines{greeting, offer, ready}) {
        ASSERT_TRUE(std::holds_alternative<smtp::read_reply>(engine.next()));
        engine.feed(turn);
    }
    ASSERT_TRUE(std::holds_alternative<smtp::start_tls>(engine.next()));
    engine.tls_established({});
    ASSERT_TRUE(std::holds_alternative<smtp::read_reply>(engine.next()));
    engine.feed(std::string_view("250 without 8BITMIME\r\n"));
    ASSERT_TRUE(std::holds_alternative<smtp::session_ready>(engine.next()));
    smtp::testing::letter letter = smtp::testing::a_letter();
    letter.envelope.content = mail::body_type::eight_bit;
    engine.send(letter.envelope, 4);
    const smtp::client_action outcome = engine.next();
    const auto* done = std::get_if<smtp::message_done>(&outcome);
    ASSERT_NE(done, nullptr);
    EXPECT_EQ(done->reason, "cannot send 8-bit message to 7-bit server");
}

TEST(client_tls, failed_handshake_is_not_followed_by_anything_in_clear) {
    recording_sink sink;
    smtp::client_engine engine(with(implicit), base::logger(sink));
    ASSERT_TRUE(std::holds_alternative<smtp::start_tls>(engine.next()));
    engine.tls_failed("peer disconnected: ssl connect");
    const smtp::client_action outcome = engine.next();
    const auto* failed = std::get_if<smtp::session_failed>(&outcome);
    ASSERT_NE(failed, nullptr);
    EXPECT_EQ(failed->reason, "peer disconnected: ssl connect");
    EXPECT_TRUE(failed->message_in_hand);
    EXPECT_FALSE(engine.has_output());
}
