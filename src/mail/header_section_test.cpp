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

} // namespace
