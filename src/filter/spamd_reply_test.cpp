#include "filter/spamd_reply.hpp"

#include <gtest/gtest.h>

#include <algorithm>

namespace filter {
namespace {

struct heard {
    spamd_reply reply;
    std::string content;
};

heard hear(std::string_view text, std::size_t piece) {
    heard out;
    for (std::size_t at = 0; at < text.size(); at += piece)
        out.content += out.reply.feed(text.substr(at, piece));
    return out;
}

// However it is cut the same.
heard hear(std::string_view text) {
    heard whole = hear(text, std::max<std::size_t>(text.size(), 1));
    for (std::size_t piece = 1; piece < text.size(); ++piece) {
        heard cut = hear(text, piece);
        EXPECT_EQ(cut.reply.error(), whole.reply.error()) << piece;
        EXPECT_EQ(cut.reply.complete(), whole.reply.complete()) << piece;
        if (!whole.reply.failed()) {
            EXPECT_EQ(cut.content, whole.content) << piece;
        }
    }
    return whole;
}

TEST(spamd_request, counts_the_content) {
    EXPECT_EQ(spamd_request(17), "PROCESS SPAMC/1.4\r\nContent-length: 17\r\n\r\n");
}

TEST(spamd_reply, no_spam) {
    heard h = hear("SPAMD/1.1 0 EX_OK\r\nContent-length: 6\r\nSpam: False ; 1.0 / 5.0\r\n\r\nhello\n");
    EXPECT_TRUE(h.reply.complete());
    EXPECT_FALSE(h.reply.is_spam());
    EXPECT_EQ(h.content, "hello\n");
}

TEST(spamd_reply, spam) {
    heard h = hear("SPAMD/1.1 0 EX_OK\r\nSpam: True ; 15.0 / 5.0\r\nCONTENT-LENGTH: 1\r\n\r\nx");
    EXPECT_TRUE(h.reply.complete());
    EXPECT_TRUE(h.reply.is_spam());
    EXPECT_EQ(h.reply.verdict(), "spam: True ; 15.0 / 5.0");
}

TEST(spamd_reply, without_a_verdict_or_with_one_in_other_letters) {
    EXPECT_FALSE(hear("SPAMD/1.1 0 EX_OK\r\nContent-length: 1\r\n\r\nx").reply.is_spam());
    EXPECT_FALSE(
        hear("SPAMD/1.1 0 EX_OK\r\nSPAM: True ; 1 / 1\r\nContent-length: 1\r\n\r\nx").reply.is_spam());
}

TEST(spamd_reply, bodies_without_a_final_line_end_and_headers_with_bare_line_feeds) {
    heard h = hear("SPAMD/1.1 0 EX_OK\nContent-length: 9\nSpam: False ; 0 / 5\n\nA: b\r\n\r\nc");
    EXPECT_TRUE(h.reply.complete());
    EXPECT_EQ(h.content, "A: b\r\n\r\nc");
}

TEST(spamd_reply, not_complete) {
    EXPECT_FALSE(hear("SPAMD/1.1 0 EX_OK\r\nContent-length: 2\r\n\r\nx").reply.complete());
    EXPECT_FALSE(hear("SPAMD/1.1 0 EX_OK\r\nContent-length: 2\r\n").reply.complete());
    EXPECT_FALSE(hear("").reply.failed());
}

TEST(spamd_reply, bad_first_lines) {
    for (const std::string line : {"SPAMD/1.0 76 EX_PROTOCOL", "spamd/1.1 0 EX_OK", "HTTP/1.0 0 x", "",
                                   "SPAMD/1.1", "SPAMD/1.1 00 x"}) {
        heard h = hear(line + "\r\nContent-length: 1\r\n\r\nx");
        EXPECT_EQ(h.reply.error(), "spam client error: invalid response: " + line);
        EXPECT_FALSE(h.reply.complete());
    }
}

TEST(spamd_reply, bad_headers) {
    for (const char* headers : {"", "Content-length: 0\r\n", "Content-length: x\r\n", "Content-length\r\n"})
        EXPECT_EQ(hear(std::string("SPAMD/1.1 0 EX_OK\r\n") + headers + "\r\nx").reply.error(),
                  "spam client error: invalid response headers");
    spamd_reply endless;
    for (int i = 0; i < 100; ++i)
        EXPECT_EQ(endless.feed(std::string(1024, 'x')), "");
    EXPECT_EQ(endless.error(), "spam client error: invalid response headers");
}

TEST(spamd_reply, heads_at_and_over_the_limit) {
    const std::string begin = "SPAMD/1.1 0 EX_OK\r\nContent-length: 1\r\nX: ", end = "\r\n\r\n";
    for (std::size_t piece : {1U, 1000U, 100'000U}) {
        std::string head =
            begin + std::string(spamd_reply::longest_head - begin.size() - end.size(), 'x') + end;
        heard longest = hear(head + "x", piece);
        EXPECT_TRUE(longest.reply.complete()) << piece;
        EXPECT_EQ(longest.content, "x");
        head.insert(begin.size(), "x");
        EXPECT_EQ(hear(head + "x", piece).reply.error(), "spam client error: invalid response headers");
    }
}

TEST(spamd_reply, more_than_announced) {
    EXPECT_EQ(hear("SPAMD/1.1 0 EX_OK\r\nContent-length: 1\r\n\r\nxy").reply.error(),
              "incorrect content length in spam response");
}

} // namespace
} // namespace filter
