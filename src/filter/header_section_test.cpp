#include "filter/header_section.hpp"

#include <gtest/gtest.h>

namespace filter {
namespace {

TEST(header_section, fields_as_they_are) {
    const std::string header = "Received: from a\r\n\tby b;\r\n today\r\nSubject:x\nX-Odd : y\r\n\r\n";
    auto section = header_section::read(header + "body\r\n");
    EXPECT_EQ(section.size(), header.size());
    ASSERT_EQ(section.count(), 3U);
    EXPECT_EQ(section.field(0), (header_field{"Received", " from a\n\tby b;\n today"}));
    EXPECT_EQ(section.field(1), (header_field{"Subject", "x"}));
    EXPECT_EQ(section.field(2), (header_field{"X-Odd", " y"}));
    EXPECT_EQ(section.text(), header);
}

TEST(header_section, where_it_ends) {
    struct row {
        std::string message;
        std::size_t size, fields;
        std::string text;
    };
    for (const row& r :
         {row{"", 0, 0, "\r\n"}, row{"A: b", 4, 1, "A: b\r\n"}, row{"A: b\r\n", 6, 1, "A: b\r\n\r\n"},
          row{"\r\nbody", 2, 0, "\r\n"}, row{"A: b\n\nbody", 6, 1, "A: b\n\n"},
          row{"A: b\r\nno field\r\n", 6, 1, "A: b\r\n\r\n"}, row{" folded nothing\r\n", 0, 0, "\r\n"},
          row{": no name\r\n", 0, 0, "\r\n"}, row{"A b: c\r\n", 0, 0, "\r\n"}}) {
        auto section = header_section::read(r.message);
        EXPECT_EQ(section.size(), r.size) << r.message;
        EXPECT_EQ(section.count(), r.fields) << r.message;
        EXPECT_EQ(section.text(), r.text) << r.message;
    }
}

TEST(header_section, changes) {
    auto section = header_section::read("A: 1\r\nB: 2\r\nC: 3");
    section.insert(0, {"X", " first"});
    section.insert(99, {"Y", " last\n\tfolded"});
    section.replace(2, {"B", "two"});
    section.remove(1);
    EXPECT_EQ(section.text(), "X: first\r\nB:two\r\nC: 3\r\nY: last\r\n\tfolded\r\n\r\n");
}

TEST(header_section, a_value_cannot_become_another_field) {
    auto section = header_section::read("");
    section.insert(0, {"X", " a\nBcc: b\r\n\r\nbody\n"});
    EXPECT_EQ(section.text(), "X: a\r\n\tBcc: b\r\n\tbody\r\n\r\n");
}

TEST(header_section, names) {
    for (const char* good : {"A", "X-Y", "1", "a!#$"})
        EXPECT_TRUE(is_field_name(good)) << good;
    for (const char* bad : {"", "A:", "A B", "A\n", "\x7f", "\xe4"})
        EXPECT_FALSE(is_field_name(bad)) << bad;
}

} // namespace
} // namespace filter
