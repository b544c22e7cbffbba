#include "smtp/content_encoder.hpp"

#include <gtest/gtest.h>

#include <optional>
#include <random>
#include <string>
#include <string_view>

namespace {

std::string encode(std::string_view content, std::size_t piece = std::string::npos) {
    smtp::content_encoder encoder;
    std::string out;
    for (std::size_t at = 0; at < content.size(); at += std::min(piece, content.size() - at))
        encoder.encode(content.substr(at, piece), out);
    encoder.finish(out);
    return out;
}

// What a receiver makes of it: the lines up to the first dot line, LF behind each. Nothing when there is a
// bare CR or LF, or anything but the end behind the dot line.
std::optional<std::string> decode(std::string_view wire) {
    std::string content;
    while (!wire.empty()) {
        const std::size_t end = wire.find("\r\n");
        if (end == wire.npos)
            return std::nullopt;
        std::string_view line = wire.substr(0, end);
        wire.remove_prefix(end + 2);
        if (line.find_first_of("\r\n") != line.npos)
            return std::nullopt;
        if (line == ".")
            return wire.empty() ? std::optional(content) : std::nullopt;
        if (line.starts_with('.'))
            line.remove_prefix(1);
        content += line;
        content += '\n';
    }
    return std::nullopt;
}

// CR, LF and CR-LF each as LF, and one at the end: written without any cleverness.
std::string normal(std::string_view content) {
    std::string lines;
    for (std::size_t i = 0; i < content.size(); ++i) {
        if (content[i] == '\n' && i > 0 && content[i - 1] == '\r')
            continue;
        lines += content[i] == '\r' ? '\n' : content[i];
    }
    if (!lines.empty() && lines.back() != '\n')
        lines += '\n';
    return lines;
}

TEST(content_encoder, every_rule) {
    struct {
        std::string_view content, wire;
    } const samples[] = {
        {"", ".\r\n"},
        {"a", "a\r\n.\r\n"},
        {"a\r\n", "a\r\n.\r\n"},
        {"a\n", "a\r\n.\r\n"},
        {"a\r", "a\r\n.\r\n"},
        {"a\rb\nc\r\nd", "a\r\nb\r\nc\r\nd\r\n.\r\n"},
        {"\n\r", "\r\n\r\n.\r\n"},
        {"\r\r\n", "\r\n\r\n.\r\n"},
        {"\r\n\r\n", "\r\n\r\n.\r\n"},
        {"\n\n\r\r", "\r\n\r\n\r\n\r\n.\r\n"},
        {".", "..\r\n.\r\n"},
        {"..", "...\r\n.\r\n"},
        {"a.b.", "a.b.\r\n.\r\n"},
        {"a\n.\nb", "a\r\n..\r\nb\r\n.\r\n"},
        {"a\r.\rb", "a\r\n..\r\nb\r\n.\r\n"},
        {"a\r\n.\r\nMAIL FROM:<x>\r\n", "a\r\n..\r\nMAIL FROM:<x>\r\n.\r\n"},
        {"a\n.\r\nMAIL", "a\r\n..\r\nMAIL\r\n.\r\n"},
        {"a\r\n.\rMAIL", "a\r\n..\r\nMAIL\r\n.\r\n"},
        {"a\r\n.\n.\r.x", "a\r\n..\r\n..\r\n..x\r\n.\r\n"},
        {std::string_view("\0.\0\xff\n", 5), std::string_view("\0.\0\xff\r\n.\r\n", 9)},
    };
    for (const auto& [content, wire] : samples)
        for (std::size_t piece = 1; piece <= content.size() + 1; ++piece)
            EXPECT_EQ(encode(content, piece), wire) << content << " in pieces of " << piece;
}

// Every text of up to seven octets of the alphabet that matters, at every cut.
TEST(content_encoder, all_short_contents) {
    const std::string_view alphabet = "\r\n.x";
    for (std::size_t length = 0; length <= 7; ++length) {
        for (std::size_t number = 0; number < std::size_t(1) << (2 * length); ++number) {
            std::string content;
            for (std::size_t i = 0; i < length; ++i)
                content += alphabet[(number >> (2 * i)) & 3];
            const std::string wire = encode(content);
            ASSERT_EQ(decode(wire), normal(content)) << testing::PrintToString(content);
            for (std::size_t cut = 1; cut < length; ++cut) {
                smtp::content_encoder encoder;
                std::string out;
                encoder.encode(std::string_view(content).substr(0, cut), out);
                encoder.encode(std::string_view(content).substr(cut), out);
                encoder.finish(out);
                ASSERT_EQ(out, wire) << testing::PrintToString(content) << " cut at " << cut;
            }
        }
    }
}

TEST(content_encoder, random_contents_in_random_pieces) {
    std::mt19937 random(7);
    const auto below = [&random](std::size_t n) {
        return std::uniform_int_distribution<std::size_t>(0, n - 1)(random);
    };
    for (int round = 0; round < 2000; ++round) {
        std::string content;
        const std::size_t special = 2 + below(60); // from dense to rare line ends and dots
        for (std::size_t left = below(600); left > 0; --left) {
            const std::size_t kind = below(special * 4);
            content += kind < 4 ? "\r\n.\n"[kind] : static_cast<char>(below(256));
            if (kind == 0 && below(2) == 0)
                content += '\n';
        }
        const std::string wire = encode(content);
        ASSERT_EQ(decode(wire), normal(content));

        smtp::content_encoder encoder;
        std::string out;
        std::string_view rest = content;
        while (!rest.empty()) {
            const std::string piece(rest.substr(0, below(40)));
            encoder.encode(piece, out);
            rest.remove_prefix(piece.size());
        }
        encoder.finish(out);
        ASSERT_EQ(out, wire);
    }
}

TEST(content_encoder, counts_lines) {
    smtp::content_encoder encoder;
    std::string out;
    encoder.encode(std::string_view("a\r"), out);
    encoder.encode(std::string_view("\nb\nc\rd\r\n\r\n"), out);
    EXPECT_EQ(encoder.lines(), 5U);
}

} // namespace
