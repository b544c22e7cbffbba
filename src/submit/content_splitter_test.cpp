#include "submit/content_splitter.hpp"

#include <gtest/gtest.h>

#include <random>

namespace {

using submit::content_splitter;
using submit::splitting;

struct divided {
    std::string header, body;
    bool operator==(const divided&) const = default;
};

std::ostream& operator<<(std::ostream& out, const divided& d) {
    return out << "[" << d.header << "] [" << d.body << "]";
}

// In one piece, byte by byte and in random pieces: the result must be the same.
divided divide(const std::string& text, const splitting& how = {}) {
    std::mt19937 random(1);
    std::optional<divided> first;
    for (int round = 0; round < 20; ++round) {
        content_splitter s(how);
        divided found;
        for (std::size_t at = 0; at < text.size() && !s.over();) {
            const std::size_t n = std::min<std::size_t>(round == 0   ? text.size()
                                                        : round == 1 ? 1
                                                                     : random() % 7,
                                                        text.size() - at);
            s.feed(std::span(text).subspan(at, n));
            at += n;
            found.body += s.take_body();
        }
        s.end();
        EXPECT_TRUE(s.over() && s.header_complete() && !s.header_too_large());
        found.header = s.header();
        found.body += s.take_body();
        if (!first)
            first = found;
        EXPECT_EQ(found, *first);
    }
    return *first;
}

TEST(content_splitter, line_ends) {
    EXPECT_EQ(divide(""), (divided{"", ""}));
    EXPECT_EQ(divide("A: b\n\nc\nd"), (divided{"A: b\r\n", "c\r\nd\r\n"}));
    EXPECT_EQ(divide("A: b\r\n\r\nc\r\nd\r\n"), (divided{"A: b\r\n", "c\r\nd\r\n"}));
    EXPECT_EQ(divide("A: b\r\n\nc\r\r\n\rd\r"), (divided{"A: b\r\n", "c\r\r\n\rd\r\n"}));
    EXPECT_EQ(divide("\nbody\n\n"), (divided{"", "body\r\n\r\n"}));
    EXPECT_EQ(divide("A: b\n c\n"), (divided{"A: b\r\n c\r\n", ""}));
    EXPECT_EQ(divide(std::string("A: b\n\n\0\xff\n", 8)),
              (divided{"A: b\r\n", std::string("\0\xff\r\n", 4)}));
}

TEST(content_splitter, without_an_empty_line_all_is_header) {
    EXPECT_EQ(divide("hello\nworld"), (divided{"hello\r\nworld\r\n", ""}));
}

TEST(content_splitter, body_only) {
    EXPECT_EQ(divide("A: b\n\nc", {.body_only = true}), (divided{"", "A: b\r\n\r\nc\r\n"}));
}

TEST(content_splitter, dots) {
    EXPECT_EQ(divide("A: b\n\n.\n..\n"), (divided{"A: b\r\n", ".\r\n..\r\n"}));
    const splitting dot{.dot_ends = true};
    EXPECT_EQ(divide("A: b\n\n..\n. \nx.\n.\nmore", dot), (divided{"A: b\r\n", "..\r\n. \r\nx.\r\n"}));
    EXPECT_EQ(divide("A: b\n\nx\r\n.\r\nmore", dot), (divided{"A: b\r\n", "x\r\n"}));
    EXPECT_EQ(divide("A: b\n.\nmore", dot), (divided{"A: b\r\n", ""}));
    EXPECT_EQ(divide("A: b\n\nx\n.", dot), (divided{"A: b\r\n", "x\r\n"}));
}

TEST(content_splitter, header_that_ends_by_itself) {
    const splitting how{.header_ends_by_itself = true};
    EXPECT_EQ(divide("hello: world\nyou there\nA: b\n", how),
              (divided{"hello: world\r\n", "you there\r\nA: b\r\n"}));
    EXPECT_EQ(divide("hello\n\nyou\n", how), (divided{"", "hello\r\n\r\nyou\r\n"}));
    EXPECT_EQ(divide("From joe Sun Nov 22 2026\nA: b\n c\n\nFrom x\n", how),
              (divided{"A: b\r\n c\r\n", "From x\r\n"}));
    EXPECT_EQ(divide("A: b\nFrom joe\n\n", how), (divided{"A: b\r\n", "From joe\r\n\r\n"}));
    EXPECT_EQ(divide(" x\n", how), (divided{"", " x\r\n"}));
    EXPECT_EQ(divide(".\n", {.dot_ends = true, .header_ends_by_itself = true}), (divided{"", ""}));
}

TEST(content_splitter, long_lines_are_not_held) {
    content_splitter s({.dot_ends = true});
    s.feed(std::string_view("A: b\n\n"));
    const std::string piece(100'000, 'x');
    std::string body;
    for (int i = 0; i < 10; ++i) {
        s.feed(piece);
        body += s.take_body();
        EXPECT_GT(body.size() + 100, piece.size() * static_cast<std::size_t>(i + 1));
    }
    s.feed(std::string_view("\r"));
    s.feed(std::string_view("\n.")); // the end of a line is not the beginning of one
    s.feed(std::string_view("y"));
    s.end();
    body += s.take_body();
    EXPECT_EQ(body, std::string(1'000'000, 'x') + "\r\n.y\r\n");
    content_splitter t({.dot_ends = true});
    t.feed("\n" + std::string(70'000, 'x'));
    t.feed(std::string_view(".\n"));
    t.end();
    EXPECT_EQ(t.take_body(), std::string(70'000, 'x') + ".\r\n");
}

TEST(content_splitter, a_header_has_a_limit) {
    content_splitter s({});
    const std::string line = "X: " + std::string(997, 'x') + "\n";
    for (int i = 0; i < 20'000 && !s.header_too_large(); ++i)
        s.feed(line);
    EXPECT_TRUE(s.header_too_large());
    content_splitter one_line({});
    for (int i = 0; i < 20'000 && !one_line.header_too_large(); ++i)
        one_line.feed(std::string(1000, 'x'));
    EXPECT_TRUE(one_line.header_too_large());
}

} // namespace
