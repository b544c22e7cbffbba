#include "mail/header_section.hpp"

#include <gmock/gmock.h>

namespace {

using mail::header_section;

TEST(header_section, fields_with_their_lines) {
    header_section h("From: a@b\r\nSubject: x\r\n y\r\n\tz\r\nTo : c@d\r\n");
    ASSERT_EQ(h.fields().size(), 3U);
    EXPECT_EQ(h.fields()[0].name(), "From");
    EXPECT_EQ(h.fields()[0].body(), " a@b");
    EXPECT_EQ(h.fields()[0].line, 1U);
    EXPECT_EQ(h.fields()[1].text, "Subject: x\r\n y\r\n\tz\r\n");
    EXPECT_EQ(h.fields()[1].body(), " x\r\n y\r\n\tz");
    EXPECT_EQ(h.fields()[2].name(), "To");
    EXPECT_EQ(h.fields()[2].line, 5U);
    EXPECT_TRUE(h.has("SUBJECT"));
    EXPECT_FALSE(h.has("Sub"));
}

TEST(header_section, lines_that_are_no_fields) {
    header_section h("From joe Sun Nov 22 05:17:47 2026\r\nhello\r\n a: b\r\n: x\r\nc d: e\r\n");
    ASSERT_EQ(h.fields().size(), 4U);
    for (const mail::header_field& f : h.fields())
        EXPECT_EQ(f.name(), "") << f.text;
    EXPECT_EQ(h.fields()[1].text, "hello\r\n a: b\r\n");
    header_section begins_folded(" x\r\nA: b");
    ASSERT_EQ(begins_folded.fields().size(), 2U);
    EXPECT_EQ(begins_folded.fields()[1].body(), " b");
}

TEST(header_section, the_rest_stays_as_it_is) {
    const std::string text = "X: \xff\x01 \r\nto: a\r\n b\r\nBcc:\r\nbCC: c\r\nY:z\nrubbish\r\n";
    header_section h(text);
    EXPECT_EQ(h.text(), text);
    h.remove({"TO", "Cc"});
    EXPECT_EQ(h.text(), "X: \xff\x01 \r\nBcc:\r\nbCC: c\r\nY:z\nrubbish\r\n");
    h.replace("bcc", "bcc: x@y\r\n");
    EXPECT_EQ(h.text(), "X: \xff\x01 \r\nbcc: x@y\r\nY:z\nrubbish\r\n");
    h.replace("Date", "Date: no\r\n");
    h.put_in_front("A: b\r\n");
    EXPECT_EQ(h.text(), "A: b\r\nX: \xff\x01 \r\nbcc: x@y\r\nY:z\nrubbish\r\n");
    EXPECT_EQ(h.all("bcc").size(), 1U);
}

TEST(header_section, changes_by_place) {
    header_section h("A: 1\r\nB: 2\r\nC: 3");
    h.insert(0, "X: first\r\n");
    h.insert(99, "Y: last\r\n");
    h.replace(2, "B:two\r\n");
    h.remove(1);
    EXPECT_EQ(h.text(), "X: first\r\nB:two\r\nC: 3\r\nY: last\r\n");
}

TEST(header_section, at_the_beginning_of_a_message) {
    struct row {
        std::string message;
        std::size_t size, fields;
        std::string text;
    };
    for (const row& r :
         {row{"", 0, 0, "\r\n"}, row{"A: b", 4, 1, "A: b\r\n"}, row{"A: b\r\n", 6, 1, "A: b\r\n\r\n"},
          row{"\r\nbody", 2, 0, "\r\n"}, row{"A: b\n\nbody", 6, 1, "A: b\n\n"},
          row{"A: b\r\n c\r\nD: e\r\n\r\nF: g\r\n", 18, 2, "A: b\r\n c\r\nD: e\r\n\r\n"},
          row{"A: b\r\nno field\r\n", 6, 1, "A: b\r\n\r\n"}, row{" folded nothing\r\n", 0, 0, "\r\n"},
          row{": no name\r\n", 0, 0, "\r\n"}, row{"A b: c\r\n", 0, 0, "\r\n"}}) {
        auto header = mail::read_header(r.message);
        EXPECT_EQ(header.size, r.size) << r.message;
        EXPECT_EQ(header.section.fields().size(), r.fields) << r.message;
        EXPECT_EQ(header.text(), r.text) << r.message;
    }
}

TEST(header_section, names_of_fields) {
    for (const char* good : {"A", "X-Y", "1", "a!#$"})
        EXPECT_TRUE(mail::is_field_name(good)) << good;
    for (const char* bad : {"", "A:", "A B", "A\n", "\x7f", "\xe4"})
        EXPECT_FALSE(mail::is_field_name(bad)) << bad;
}

} // namespace
