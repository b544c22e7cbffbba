#include "smtp/reply_parser.hpp"

#include <gtest/gtest.h>

#include <algorithm>

namespace {

using smtp::reply_parser;
using event = reply_parser::event;

// Everything that comes out of `input` fed in pieces of `piece` octets: "250:a|b" for a reply, or the error.
std::vector<std::string> parse(std::string_view input, std::size_t piece, std::size_t max_line = 40,
                               std::size_t max_lines = 4) {
    reply_parser parser(max_line, max_lines);
    std::vector<std::string> found;
    for (std::size_t at = 0; at < input.size(); at += piece) {
        parser.feed(input.substr(at, piece));
        for (event e = parser.next(); e != event::nothing; e = parser.next()) {
            if (e == event::invalid || e == event::overflow) {
                found.emplace_back(e == event::invalid ? "invalid" : "overflow");
                return found;
            }
            if (e == event::reply) {
                std::string text = parser.last_reply().text();
                std::replace(text.begin(), text.end(), '\n', '|');
                found.push_back(std::to_string(parser.last_reply().code) + ":" + text);
            }
        }
    }
    return found;
}

struct sample {
    std::string input;
    std::vector<std::string> found;
};

TEST(reply_parser, reads_replies_and_refuses_the_rest_however_they_are_split) {
    const sample samples[] = {
        {"250 ok\r\n", {"250:ok"}},
        {"250\r\n", {"250:"}},
        {"250 \r\n", {"250:"}},
        {"250 ok\n", {"250:ok"}},
        {"250 a\r b\r\r\n", {"250:a\r b\r"}},
        {"100 x\r\n599 y\r\n", {"100:x", "599:y"}},
        {"250-a\r\n250-\r\n250 c\r\n354 go\r\n", {"250:a||c", "354:go"}},
        {"250-a\r\n250\r\n", {"250:a|"}},
        {"250-1\r\n250-2\r\n250-3\r\n250 4\r\n", {"250:1|2|3|4"}},
        {"250-1\r\n250-2\r\n250-3\r\n250-4\r\n250 5\r\n", {"overflow"}},
        {"250 " + std::string(36, 'x') + "\r\n", {"250:" + std::string(36, 'x')}},
        {"250 " + std::string(36, 'x') + "\n", {"250:" + std::string(36, 'x')}},
        {"250 " + std::string(37, 'x') + "\r\n", {"overflow"}},
        {"250 " + std::string(37, 'x') + "\n", {"overflow"}},
        {"250 " + std::string(1000, 'x'), {"overflow"}},
        {std::string("250 a\0b\xff\r\n", 11), {std::string("250:a\0b\xff", 8)}},
        {"250-a\r\n251 b\r\n", {"invalid"}},
        {"\r\n", {"invalid"}},
        {"\n", {"invalid"}},
        {"25\r\n", {"invalid"}},
        {"2500\r\n", {"invalid"}},
        {"250x\r\n", {"invalid"}},
        {"250\tok\r\n", {"invalid"}},
        {" 250 ok\r\n", {"invalid"}},
        {"050 ok\r\n", {"invalid"}},
        {"650 ok\r\n", {"invalid"}},
        {"2x0 ok\r\n", {"invalid"}},
        {"25x ok\r\n", {"invalid"}},
        {"hello\r\n", {"invalid"}},
        {"250 ok\r\nHTTP/1.1 400\r\n", {"250:ok", "invalid"}},
        {"250 unfinished", {}},
        {"250-unfinished\r\n", {}},
    };
    for (const sample& s : samples)
        for (std::size_t piece = 1; piece <= s.input.size(); ++piece)
            EXPECT_EQ(parse(s.input, piece), s.found) << s.input << " in pieces of " << piece;
}

TEST(reply_parser, limits_of_nought_are_none) {
    const std::string input = "250 " + std::string(100'000, 'x') + "\r\n";
    EXPECT_EQ(parse(input, 1000, 0, 0).size(), 1U);
    EXPECT_EQ(parse(input, 1000, 0, 0).front().size(), 100'004U);
}

TEST(reply_parser, gives_the_line_as_it_came) {
    reply_parser parser(100, 10);
    parser.feed(std::string_view("250-a b\r\n250 c\r\nrubbish\r\n"));
    EXPECT_EQ(parser.next(), event::line);
    EXPECT_EQ(parser.line(), "250-a b");
    EXPECT_EQ(parser.next(), event::reply);
    EXPECT_EQ(parser.line(), "250 c");
    EXPECT_EQ(parser.next(), event::invalid);
    EXPECT_EQ(parser.line(), "rubbish");
    EXPECT_EQ(parser.next(), event::nothing);
    EXPECT_EQ(parser.line(), "");
}

TEST(reply_parser, is_idle_between_replies_only) {
    reply_parser parser(100, 10);
    EXPECT_TRUE(parser.idle());
    parser.feed(std::string_view("2"));
    EXPECT_FALSE(parser.idle());
    EXPECT_EQ(parser.rest(), "2");
    parser.feed(std::string_view("50-a\r\n"));
    EXPECT_EQ(parser.next(), event::line);
    EXPECT_FALSE(parser.idle()) << "the reply goes on";
    parser.feed(std::string_view("250 b\r\n25"));
    EXPECT_EQ(parser.next(), event::reply);
    EXPECT_FALSE(parser.idle());
    EXPECT_EQ(parser.rest(), "25");
    parser.feed(std::string_view("0 c\r\n"));
    EXPECT_EQ(parser.next(), event::reply);
    EXPECT_TRUE(parser.idle());
}

TEST(reply_parser, does_not_keep_what_has_been_taken) {
    reply_parser parser(4096, 10);
    for (int i = 0; i < 1000; ++i) { // never empty: half a line is always left
        parser.feed(std::string_view("250 abc\r\n250 a"));
        ASSERT_EQ(parser.next(), event::reply);
        parser.feed(std::string_view("bc\r\n250 "));
        ASSERT_EQ(parser.next(), event::reply);
        parser.feed(std::string_view("abc\r\n"));
        ASSERT_EQ(parser.next(), event::reply);
        ASSERT_EQ(parser.last_reply().text(), "abc");
        ASSERT_EQ(parser.next(), event::nothing);
    }
    parser.feed(std::string_view("1"));
    for (int i = 0; i < 100'000; ++i) { // more than the parser lets pile up before it moves
        parser.feed(std::string_view("50 a\r\n1"));
        ASSERT_EQ(parser.next(), event::reply);
        ASSERT_EQ(parser.rest(), "1");
    }
}

} // namespace
