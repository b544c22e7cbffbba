#include "filter/milter_engine.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

namespace filter {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using verdict = milter_outcome::verdict;

// Octets with zeros in them.
template <std::size_t N>
std::string octets(const char (&literal)[N]) {
    return {literal, N - 1};
}

std::string packet(char command, std::string_view data = {}) {
    std::size_t size = data.size() + 1;
    std::string out;
    for (unsigned shift : {24U, 16U, 8U, 0U})
        out += static_cast<char>(size >> shift & 0xffU);
    return out + command + std::string(data);
}

std::string number(std::uint32_t value) {
    return packet('x', "").substr(0, 0) +
           std::string{static_cast<char>(value >> 24), static_cast<char>(value >> 16 & 255),
                       static_cast<char>(value >> 8 & 255), static_cast<char>(value & 255)};
}

std::string negotiation(std::uint32_t actions = 0x1ff, std::uint32_t protocol = 0,
                        std::uint32_t version = 6) {
    return packet('O', number(version) + number(actions) + number(protocol));
}

milter_message about() {
    milter_message m;
    m.client_name = "[192.0.2.1]";
    m.family = '4';
    m.port = 1234;
    m.address = "192.0.2.1";
    m.helo = "client.example";
    m.sender = "me@example.com";
    m.sender_parameters = {"SIZE=10"};
    m.recipients = {"a@example.net", "b@example.net"};
    m.headers = {{"Subject", " hello"}, {"X", "1\n\t2"}};
    m.all_macros = {{"i", "id"}, {"{client_addr}", "192.0.2.1"}};
    return m;
}

// A milter that answers each command by a function of its letter; what it hears is kept as
// "M<me@...>|SIZE=10".
class conversation {
public:
    using answers = std::function<std::string(char)>;

    explicit conversation(answers a, std::size_t piece = 1000, milter_message m = about())
        : say(std::move(a)), piece_(piece), engine(std::move(m)) {}

    milter_todo run(std::string body = "body") {
        for (;;) {
            milter_todo todo = engine.next();
            if (std::holds_alternative<milter_action::read_more>(todo)) {
                if (!exchange())
                    return todo;
            } else if (std::holds_alternative<milter_action::supply_body>(todo)) {
                if (body.empty())
                    engine.end_of_body();
                else
                    engine.body(std::exchange(body, {}));
            } else if (auto* part = std::get_if<milter_action::replace_body>(&todo)) {
                new_body.append(part->bytes.data(), part->bytes.size());
            } else {
                listen();
                return todo;
            }
        }
    }

    std::vector<std::string> lines; // without macros
    std::vector<std::string> macro_lines;
    std::string new_body;

private:
    void listen() {
        std::string out = engine.take_output();
        for (std::size_t at = 0; at + 5 <= out.size();) {
            std::size_t size = 0;
            for (std::size_t i = 0; i < 4; ++i)
                size = size << 8 | static_cast<unsigned char>(out[at + i]);
            std::string text = out.substr(at + 4, size);
            at += 4 + size;
            char command = text[0];
            for (char& c : text)
                c = c == '\0' ? '|' : c;
            (command == 'D' ? macro_lines : lines).push_back(text);
            if (command != 'D')
                pending += say(command);
        }
    }
    bool exchange() {
        listen();
        if (pending.empty())
            return false;
        std::string now = pending.substr(0, piece_);
        pending.erase(0, now.size());
        engine.feed(now);
        return true;
    }

    answers say;
    std::size_t piece_;
    milter_engine engine;
    std::string pending;
};

// Continues at each step; `at_end` is said to the end of the message.
conversation::answers agreeable(std::string at_end = packet('c'), std::string options = negotiation()) {
    return [at_end, options](char command) {
        if (command == 'O')
            return options;
        return command == 'E' ? at_end : command == 'Q' ? "" : packet('c');
    };
}

milter_outcome outcome_of(const milter_todo& todo) {
    if (auto* end = std::get_if<milter_action::finished>(&todo))
        return end->outcome;
    if (auto* bad = std::get_if<milter_action::failed>(&todo))
        ADD_FAILURE() << bad->reason;
    else
        ADD_FAILURE() << "not finished";
    return {};
}

std::string failure_of(const milter_todo& todo) {
    auto* bad = std::get_if<milter_action::failed>(&todo);
    return bad ? bad->reason : "no failure";
}

TEST(milter_engine, all_steps_in_order) {
    conversation c(agreeable());
    EXPECT_EQ(outcome_of(c.run()).what, verdict::accept);
    c.lines[0] = "O";
    EXPECT_THAT(c.lines, ElementsAre("O",
                                     "C[192.0.2.1]|4\x04\xd2"
                                     "192.0.2.1|",
                                     "Hclient.example|", "M<me@example.com>|SIZE=10|", "R<a@example.net>|",
                                     "R<b@example.net>|", "T", "LSubject|hello|", "LX|1\n\t2|", "N", "Bbody",
                                     "E", "Q"));
    EXPECT_EQ(c.macro_lines[0], "DCi|id|{client_addr}|192.0.2.1|");
    EXPECT_EQ(c.macro_lines[3],
              "DRi|id|{client_addr}|192.0.2.1|{rcpt_addr}|a@example.net|{rcpt_host}|example.net|"
              "{rcpt_mailer}|smtp|");
}

TEST(milter_engine, what_is_offered) {
    milter_engine engine(about());
    EXPECT_EQ(engine.take_output(), octets("\0\0\0\x0dO\0\0\0\6\0\0\1\xff\0\x1f\xff\xff"));
}

TEST(milter_engine, steps_that_are_not_wanted) {
    for (auto [flag, letter] : std::vector<std::pair<std::uint32_t, char>>{{0x1, 'C'},
                                                                           {0x2, 'H'},
                                                                           {0x4, 'M'},
                                                                           {0x8, 'R'},
                                                                           {0x10, 'B'},
                                                                           {0x20, 'L'},
                                                                           {0x40, 'N'},
                                                                           {0x200, 'T'}}) {
        conversation c(agreeable(packet('c'), negotiation(0, flag)));
        EXPECT_EQ(outcome_of(c.run()).what, verdict::accept);
        for (const std::string& line : c.lines)
            EXPECT_NE(line[0], letter);
        EXPECT_EQ(c.lines.back(), "Q");
    }
}

TEST(milter_engine, replies_that_are_not_given) {
    constexpr std::uint32_t none = 0x80 | 0x1000 | 0x2000 | 0x4000 | 0x8000 | 0x10000 | 0x40000 | 0x80000;
    conversation c([](char command) {
        return command == 'O' ? negotiation(0, none) : command == 'E' ? packet('c') : std::string();
    });
    EXPECT_EQ(outcome_of(c.run()).what, verdict::accept);
    EXPECT_EQ(c.lines.size(), 13U);
}

TEST(milter_engine, replies_that_come_early) {
    milter_engine engine(about());
    std::string all = negotiation() + packet('c') + packet('r');
    engine.feed(all);
    EXPECT_EQ(outcome_of(engine.next()).what, verdict::reject);
}

TEST(milter_engine, older_versions_have_no_data_step) {
    conversation c(agreeable(packet('c'), negotiation(0, 0, 2)));
    outcome_of(c.run());
    EXPECT_THAT(c.lines, testing::Not(testing::Contains("T")));
}

TEST(milter_engine, blanks_in_front_of_values) {
    conversation c(agreeable(packet('h', octets("A\0b\0")), negotiation(0x1ff, 0x100000)));
    c.run();
    EXPECT_THAT(c.lines, testing::Contains("LSubject| hello|"));
}

TEST(milter_engine, macros_that_were_asked_for) {
    conversation c(
        agreeable(packet('c'), packet('O', number(6) + number(0x100) + number(0) + number(2) + "i {x}" +
                                               octets("\0") + number(99) + "i" + octets("\0"))));
    outcome_of(c.run());
    EXPECT_EQ(c.macro_lines[0], "DCi|id|{client_addr}|192.0.2.1|");
    EXPECT_EQ(c.macro_lines[2], "DMi|id|");
}

TEST(milter_engine, verdicts_at_each_step) {
    struct row {
        std::string said;
        verdict what;
        int code;
        std::string text;
    };
    for (char step : {'C', 'H', 'M', 'R', 'T', 'L', 'N', 'B', 'E'})
        for (const row& r :
             {row{packet('a'), verdict::accept, 0, ""}, row{packet('d'), verdict::discard, 0, ""},
              row{packet('r'), verdict::reject, 550, "5.7.1 Command rejected"},
              row{packet('t'), verdict::tempfail, 451, "4.7.1 Service unavailable - try again later"},
              row{packet('p') + packet('p') + packet('a'), verdict::accept, 0, ""},
              row{packet('y', octets("554 5.7.1 no 100%% sure\0")), verdict::reject, 554,
                  "5.7.1 no 100% sure"},
              row{packet('y', octets("450-4.1.1 one\r\n450 4.1.1 two\0")), verdict::tempfail, 450,
                  "4.1.1 one 4.1.1 two"},
              row{packet('y', octets("550\0")), verdict::reject, 550, ""}}) {
            for (std::size_t piece : {std::size_t{1000}, std::size_t{1}}) {
                conversation c(
                    [&](char command) {
                        return command == 'O' ? negotiation() : command == step ? r.said : packet('c');
                    },
                    piece);
                milter_outcome out = outcome_of(c.run());
                EXPECT_EQ(out.what, r.what) << step;
                EXPECT_EQ(out.code, r.code) << step;
                EXPECT_EQ(out.text, r.text) << step;
                EXPECT_EQ(c.lines[c.lines.size() - 2][0], step);
                EXPECT_EQ(c.lines.back(), "Q");
            }
        }
}

TEST(milter_engine, the_rest_of_the_body_skipped) {
    conversation c([](char command) {
        return command == 'O' ? negotiation(0, 0x400) : command == 'B' ? packet('s') : packet('c');
    });
    EXPECT_EQ(outcome_of(c.run()).what, verdict::accept);
    conversation unasked([](char command) {
        return command == 'O' ? negotiation(0, 0) : command == 'B' ? packet('s') : packet('c');
    });
    EXPECT_THAT(failure_of(unasked.run()), HasSubstr("skip"));
}

TEST(milter_engine, every_change) {
    using kind = milter_edit::kind;
    std::string all =
        packet('h', octets("A\0b\0")) + packet('i', octets("\0\0\0\1C\0d\0")) +
        packet('m', octets("\0\0\0\2E\0f\0")) + packet('m', octets("\0\0\0\1G\0\0")) + packet('p') +
        packet('+', octets("<x@y>\0")) + packet('2', octets("<p@q>\0NOTIFY=NEVER\0")) +
        packet('-', octets("<a@example.net>\0")) + packet('e', octets("<new@example.com>\0")) +
        packet('b', "new ") + packet('b', "body") + packet('q', octets("looks bad\0")) + packet('a');
    for (std::size_t piece : {std::size_t{10'000}, std::size_t{1}, std::size_t{7}}) {
        conversation c(agreeable(all), piece);
        milter_outcome out = outcome_of(c.run());
        EXPECT_EQ(out.edits, (std::vector<milter_edit>{{kind::add_header, 0, "A", " b"},
                                                       {kind::insert_header, 1, "C", " d"},
                                                       {kind::change_header, 2, "E", " f"},
                                                       {kind::change_header, 1, "G", ""},
                                                       {kind::add_recipient, 0, "x@y", ""},
                                                       {kind::add_recipient, 0, "p@q", ""},
                                                       {kind::delete_recipient, 0, "a@example.net", ""},
                                                       {kind::change_sender, 0, "new@example.com", ""}}));
        EXPECT_TRUE(out.body_replaced);
        EXPECT_EQ(c.new_body, "new body");
        EXPECT_TRUE(out.quarantine);
        EXPECT_EQ(out.quarantine_reason, "looks bad");
    }
}

TEST(milter_engine, changes_of_a_refused_message_are_forgotten) {
    conversation c(agreeable(packet('h', octets("A\0b\0")) + packet('q', octets("x\0")) + packet('r')));
    milter_outcome out = outcome_of(c.run());
    EXPECT_EQ(out.what, verdict::reject);
    EXPECT_TRUE(out.edits.empty());
    EXPECT_FALSE(out.quarantine);
}

TEST(milter_engine, changes_must_have_been_negotiated) {
    for (const std::string& change :
         {packet('h', octets("A\0b\0")), packet('i', octets("\0\0\0\1C\0d\0")),
          packet('m', octets("\0\0\0\2E\0f\0")), packet('+', octets("<x@y>\0")),
          packet('2', octets("<x@y>\0")), packet('-', octets("<x@y>\0")), packet('e', octets("<x@y>\0")),
          packet('b', "x"), packet('q', octets("x\0"))}) {
        conversation c(agreeable(change + packet('c'), negotiation(0, 0)));
        EXPECT_THAT(failure_of(c.run()), HasSubstr("milter protocol error")) << change;
    }
}

TEST(milter_engine, what_breaks_the_protocol) {
    const std::vector<std::pair<char, std::string>> rows = {
        {'O', packet('c')},
        {'O', packet('O', "short")},
        {'O', negotiation(0, 0, 1)},
        {'O', negotiation(0, 0, 7)},
        {'O', negotiation(0x200, 0)},
        {'O', negotiation(0, 0x10000000)},
        {'O', packet('O', number(6) + number(0) + number(0) + number(1) + "no end")},
        {'M', packet('h', octets("A\0b\0"))},
        {'M', packet('?')},
        {'M', std::string(4, '\0')},
        {'M', octets("\x7f\xff\xff\xff")},
        {'E', packet('h', octets("A\0b"))},
        {'E', packet('h', octets("A B\0b\0"))},
        {'E', packet('h', octets("A\n\0b\0"))},
        {'E', packet('h', octets("A\0"))},
        {'E', packet('i', octets("\0\0\1"))},
        {'E', packet('+')},
        {'E', packet('+', octets("<>\0"))},
        {'E', packet('+', octets("<a@b\nX: y>\0"))},
        {'E', packet('e', octets("<a\r\n>\0"))},
        {'E', packet('y', octets("250 ok\0"))},
        {'E', packet('y', octets("5\0"))},
        {'E', packet('s')},
    };
    for (const auto& [step, said] : rows) {
        conversation c([&](char command) {
            return command == step ? said : command == 'O' ? negotiation() : packet('c');
        });
        EXPECT_THAT(failure_of(c.run()), HasSubstr("milter protocol error: ")) << step << " " << said;
    }
}

// The body in place of the one that was sent, in one packet: its command counts.
TEST(milter_engine, packets_at_and_over_the_limit) {
    const std::string longest(milter_engine::longest_packet - 1, 'x');
    conversation c(agreeable(packet('b', longest) + packet('c')), 65536);
    outcome_of(c.run());
    EXPECT_TRUE(c.new_body == longest) << c.new_body.size();

    conversation longer(agreeable(packet('b', longest + 'x') + packet('c')), 65536);
    EXPECT_THAT(failure_of(longer.run()), HasSubstr("milter protocol error: "));
    EXPECT_EQ(longer.new_body, "");
}

TEST(milter_engine, too_many_changes) {
    std::string flood;
    for (std::size_t i = 0; i <= milter_engine::most_edits; ++i)
        flood += packet('h', octets("A\0b\0"));
    conversation c(agreeable(flood), 65536);
    EXPECT_THAT(failure_of(c.run()), HasSubstr("too many"));
}

TEST(milter_engine, zeros_in_what_it_is_told_end_the_text) {
    milter_message m = about();
    m.sender = octets("me\0<evil>");
    m.headers = {{"Subject", octets("a\0b")}};
    conversation c(agreeable(), 1000, m);
    outcome_of(c.run());
    EXPECT_THAT(c.lines, testing::Contains("M<me|SIZE=10|"));
    EXPECT_THAT(c.lines, testing::Contains("LSubject|a|"));
}

TEST(milter_engine, takes_one_leading_space_from_values) {
    milter_message m = about();
    m.headers = {{"A", "  two"}, {"B", "\ttab"}, {"C", " "}, {"D", ""}, {"E", "tight"}};
    conversation c(agreeable(), 1000, m);
    outcome_of(c.run());
    for (const char* line : {"LA| two|", "LB|\ttab|", "LC||", "LD||", "LE|tight|"})
        EXPECT_THAT(c.lines, testing::Contains(line));
}

// Header changes

std::string changed(std::vector<milter_edit> edits, std::size_t hidden = 1) {
    mail::header_section section("Received: x\r\nSubject: a\r\nX: 1\r\nx: 2\r\n");
    apply(edits, hidden, section);
    return section.text();
}

TEST(milter_edits, of_the_header) {
    using kind = milter_edit::kind;
    EXPECT_EQ(changed({{kind::add_header, 0, "N", " n"}}),
              "Received: x\r\nSubject: a\r\nX: 1\r\nx: 2\r\nN: n\r\n");
    EXPECT_EQ(changed({{kind::insert_header, 0, "N", " n"}}),
              "N: n\r\nReceived: x\r\nSubject: a\r\nX: 1\r\nx: 2\r\n");
    EXPECT_EQ(changed({{kind::insert_header, 1, "N", " n"}, {kind::insert_header, 1, "M", " m"}}),
              "Received: x\r\nM: m\r\nN: n\r\nSubject: a\r\nX: 1\r\nx: 2\r\n");
    EXPECT_EQ(changed({{kind::insert_header, 1, "N", " n"}}, 0),
              "N: n\r\nReceived: x\r\nSubject: a\r\nX: 1\r\nx: 2\r\n");
    EXPECT_EQ(changed({{kind::insert_header, 99, "N", " n"}}),
              "Received: x\r\nSubject: a\r\nX: 1\r\nx: 2\r\nN: n\r\n");
    EXPECT_EQ(changed({{kind::change_header, 2, "X", " two"}}),
              "Received: x\r\nSubject: a\r\nX: 1\r\nX: two\r\n");
    EXPECT_EQ(changed({{kind::change_header, 1, "x", ""}}), "Received: x\r\nSubject: a\r\nx: 2\r\n");
    EXPECT_EQ(changed({{kind::change_header, 3, "X", " new"}}),
              "Received: x\r\nSubject: a\r\nX: 1\r\nx: 2\r\nX: new\r\n");
    EXPECT_EQ(changed({{kind::change_header, 3, "X", ""}}), "Received: x\r\nSubject: a\r\nX: 1\r\nx: 2\r\n");
    EXPECT_EQ(changed({{kind::change_header, 1, "Received", ""}}),
              "Received: x\r\nSubject: a\r\nX: 1\r\nx: 2\r\n")
        << "hidden from the milter";
}

} // namespace
} // namespace filter
