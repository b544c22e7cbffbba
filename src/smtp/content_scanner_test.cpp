// Every short text of the four kinds of octet that matter, cut in every way, against a scanner that is slow
// and plain.
#include "smtp/content_scanner.hpp"

#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace {

struct outcome {
    std::string content;
    std::optional<std::size_t> end; // octets up to and with the end mark
    bool operator==(const outcome&) const = default;
};

// RFC 5321 section 4.5.2, said line by line on the whole text.
outcome plainly(std::string_view text) {
    outcome out;
    for (std::size_t from = 0; from < text.size();) {
        const std::size_t crlf = text.find("\r\n", from);
        std::string_view line = text.substr(from, crlf == std::string_view::npos ? crlf : crlf + 2 - from);
        from += line.size();
        if (line == ".\r\n") {
            out.end = from;
            return out;
        }
        if (line == "." || line == ".\r") // may yet become the end mark
            return out;
        if (line.starts_with('.'))
            line.remove_prefix(1);
        out.content += line;
    }
    return out;
}

outcome scanned(const std::vector<std::string_view>& pieces) {
    smtp::content_scanner scanner;
    outcome out;
    std::size_t before = 0;
    for (std::string_view piece : pieces) {
        std::span<const char> rest(piece.data(), piece.size());
        while (!rest.empty()) {
            const auto found = scanner.scan(rest);
            out.content.append(found.content.data(), found.content.size());
            rest = rest.subspan(found.used);
            if (found.end) {
                out.end = before + piece.size() - rest.size();
                return out;
            }
        }
        before += piece.size();
    }
    return out;
}

void check(std::string_view text) {
    const outcome expected = plainly(text);
    ASSERT_EQ(scanned({text}), expected) << ::testing::PrintToString(text);
    for (std::size_t at = 1; at < text.size(); ++at)
        ASSERT_EQ(scanned({text.substr(0, at), text.substr(at)}), expected)
            << ::testing::PrintToString(text) << " at " << at;
    std::vector<std::string_view> octets;
    for (std::size_t i = 0; i < text.size(); ++i)
        octets.push_back(text.substr(i, 1));
    ASSERT_EQ(scanned(octets), expected) << ::testing::PrintToString(text);
}

} // namespace

TEST(content_scanner, every_short_text_cut_in_every_way) {
    constexpr std::string_view alphabet = ".\r\na";
    for (unsigned length = 0; length <= 7; ++length) {
        for (unsigned number = 0; number < 1U << (2 * length); ++number) {
            std::string text;
            for (unsigned i = 0; i < length; ++i)
                text += alphabet[number >> (2 * i) & 3];
            check(text);
            if (HasFatalFailure())
                return;
        }
    }
}

TEST(content_scanner, end_mark_behind_all_kinds_of_text) {
    for (const char* text : {"", "a", "a\r\n", "..\r\n", "\r", "\n", "\r\n\r\n", "a.b.c\r\n...\r\n", ".\r"})
        check(std::string(text) + "\r\n.\r\nQUIT\r\n");
}

TEST(content_scanner, pieces_lie_in_the_octets_given) {
    smtp::content_scanner scanner;
    const std::string text = "first line\r\n..second\r\n";
    const auto first = scanner.scan(text);
    EXPECT_EQ(first.content.data(), text.data());
    EXPECT_EQ(first.content.size(), 12U);
    const auto second = scanner.scan(std::span<const char>(text).subspan(first.used));
    EXPECT_EQ(second.content.data(), text.data() + 13);
    EXPECT_EQ(second.content.size(), 9U);
}
