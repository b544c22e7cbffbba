#include "base/line_reader.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace {

// "text" for a line, "#n" for one of n octets that was too long; then what has not ended.
std::vector<std::string> taken(const std::vector<std::string>& pieces, std::size_t limit) {
    base::line_reader lines(limit);
    std::vector<std::string> out;
    for (const std::string& piece : pieces) {
        const std::vector<char> own(piece.begin(), piece.end());
        std::span<const char> rest(own);
        while (auto line = lines.take(rest)) {
            EXPECT_TRUE(!line->too_long || line->text.empty());
            out.push_back(line->too_long ? "#" + std::to_string(line->size) : std::string(line->text));
        }
        EXPECT_TRUE(rest.empty());
    }
    out.push_back("unfinished " + std::to_string(lines.size()) + (lines.begun() ? " begun" : ""));
    return out;
}

std::vector<std::string> plainly(std::string text, std::size_t limit) {
    std::vector<std::string> out;
    for (std::size_t end = text.find("\r\n"); end != std::string::npos; end = text.find("\r\n")) {
        out.push_back(limit && end > limit ? "#" + std::to_string(end) : text.substr(0, end));
        text.erase(0, end + 2);
    }
    out.push_back("unfinished " + std::to_string(text.size()) + (text.empty() ? "" : " begun"));
    return out;
}

} // namespace

TEST(line_reader, every_short_text_cut_in_every_way) {
    constexpr std::string_view alphabet = "\r\nab";
    for (std::size_t limit = 0; limit < 4; ++limit) {
        for (unsigned number = 0; number < 1U << 14; ++number) {
            std::string text;
            for (unsigned i = 0; i < 7; ++i)
                text += alphabet[number >> (2 * i) & 3];
            const auto expected = plainly(text, limit);
            std::vector<std::string> octets;
            for (std::size_t at = 0; at < text.size(); ++at) {
                ASSERT_EQ(taken({text.substr(0, at), text.substr(at)}, limit), expected)
                    << ::testing::PrintToString(text);
                octets.push_back(text.substr(at, 1));
            }
            ASSERT_EQ(taken(octets, limit), expected) << ::testing::PrintToString(text);
        }
    }
}

TEST(line_reader, endless_line_is_counted) {
    base::line_reader lines(100);
    const std::string piece(1000, 'x');
    for (std::size_t i = 1; i <= 1000; ++i) {
        std::span<const char> rest(piece);
        ASSERT_FALSE(lines.take(rest));
        ASSERT_EQ(lines.size(), i * 1000);
    }
    const std::string end = "\r\nnext\r\n";
    std::span<const char> rest(end);
    const auto line = lines.take(rest);
    ASSERT_TRUE(line && line->too_long);
    EXPECT_EQ(line->size, 1'000'000U);
    const auto next = lines.take(rest);
    ASSERT_TRUE(next);
    EXPECT_EQ(next->text, "next");
}

TEST(line_reader, whole_lines_are_not_copied) {
    base::line_reader lines(100);
    const std::string input = "one\r\ntwo\r\n";
    std::span<const char> rest(input);
    EXPECT_EQ(lines.take(rest)->text.data(), input.data());
    EXPECT_EQ(lines.take(rest)->text.data(), input.data() + 5);
}
