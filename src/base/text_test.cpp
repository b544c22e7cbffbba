#include "base/text.hpp"

#include <gtest/gtest.h>

using namespace std::string_literals;

TEST(text, printable_hides_every_control_character_and_keeps_utf8) {
    EXPECT_EQ(base::printable("a\r\n\t\0\x1b\x7f\\b\xc3\xbc"s), "a\\r\\n\\t\\0\\x1b\\x7f\\\\b\xc3\xbc");
    EXPECT_EQ(base::printable("a\xc2\x9b\x31mb\xc2\x85\xe2\x80\xa8\xe2\x80\xa9"),
              "a\\xc2\\x9b1mb\\xc2\\x85\\xe2\\x80\\xa8\\xe2\\x80\\xa9");
    EXPECT_EQ(base::printable("\xc2\xa0\xe2\x80\xa7\xe2\x80\xaa\xc2"),
              "\xc2\xa0\xe2\x80\xa7\xe2\x80\xaa\xc2");
    EXPECT_EQ(base::printable_ascii("\xc3\xbc"), "\\xc3\\xbc");
}

TEST(text, utf8_is_checked_strictly) {
    EXPECT_TRUE(base::is_utf8(""));
    EXPECT_TRUE(base::is_utf8("b\xc3\xbc\xe2\x82\xac\xf0\x9f\x92\xa9"));
    EXPECT_FALSE(base::is_utf8("\xc3"));             // cut
    EXPECT_FALSE(base::is_utf8("\xe2\x82"));         // cut
    EXPECT_FALSE(base::is_utf8("\xc0\xaf"));         // overlong
    EXPECT_FALSE(base::is_utf8("\xe0\x80\xaf"));     // overlong
    EXPECT_FALSE(base::is_utf8("\xed\xa0\x80"));     // surrogate
    EXPECT_FALSE(base::is_utf8("\xf4\x90\x80\x80")); // beyond U+10FFFF
    EXPECT_FALSE(base::is_utf8("\x80"));
}

TEST(text, xtext_round_trip_and_errors) {
    EXPECT_EQ(base::xtext_encode("a b+c=d"), "a+20b+2Bc+3Dd");
    EXPECT_EQ(base::xtext_decode("a+20b+2bc=d"), "a b+c=d");
    EXPECT_FALSE(base::xtext_decode("a+2"));
    EXPECT_FALSE(base::xtext_decode("a+zz"));
    EXPECT_FALSE(base::xtext_decode("a b"));
}

TEST(text, lenient_xtext_as_the_envelope_normalises_it) {
    auto normal = [](std::string_view s) {
        return base::xtext_encode(base::xtext_decode_leniently(s));
    };
    EXPECT_EQ(normal("a+b"), "a");
    EXPECT_EQ(normal("c=d"), "c+3Dd");
    EXPECT_EQ(normal("+zz"), "+00");
    EXPECT_EQ(normal("<>"), "<>");
}

TEST(text, numbers_are_digits_only) {
    EXPECT_EQ(base::to_number("18446744073709551615"), 18446744073709551615ULL);
    EXPECT_FALSE(base::to_number("18446744073709551616"));
    EXPECT_FALSE(base::to_number(""));
    EXPECT_FALSE(base::to_number("-1"));
    EXPECT_FALSE(base::to_number("1 "));
}
