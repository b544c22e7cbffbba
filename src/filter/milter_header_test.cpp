#include "filter/milter_header.hpp"

#include <gtest/gtest.h>

namespace filter {
namespace {

TEST(milter_header, fields_of_a_message) {
    const std::string text = "Received: from a\r\n\tby b;\r\n today\r\nSubject:x\nX-Odd : y\r\n";
    const mail::header_section section(text);
    ASSERT_EQ(section.fields().size(), 3U);
    EXPECT_EQ(field_for_milter(section.fields()[0]), (milter_field{"Received", " from a\n\tby b;\n today"}));
    EXPECT_EQ(field_for_milter(section.fields()[1]), (milter_field{"Subject", "x"}));
    EXPECT_EQ(field_for_milter(section.fields()[2]), (milter_field{"X-Odd", " y"}));
}

TEST(milter_header, fields_for_a_message) {
    EXPECT_EQ(field_in_message({"X", " first"}), "X: first\r\n");
    EXPECT_EQ(field_in_message({"X", "tight"}), "X:tight\r\n");
    EXPECT_EQ(field_in_message({"Y", " last\n\tfolded"}), "Y: last\r\n\tfolded\r\n");
    EXPECT_EQ(field_in_message({"X", " a\nBcc: b\r\n\r\nbody\n"}), "X: a\r\n\tBcc: b\r\n\tbody\r\n")
        << "a value cannot become another field";
}

} // namespace
} // namespace filter
