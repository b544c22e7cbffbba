#include "mail/address_list.hpp"

#include <gmock/gmock.h>

#include <chrono>

namespace {

using testing::ElementsAre;
using testing::IsEmpty;

std::vector<std::string> mailboxes(std::string_view text) {
    mail::address_list found = mail::parse_address_list(text);
    EXPECT_FALSE(found.wrong_line) << text << ": line " << *found.wrong_line;
    return found.mailboxes;
}

// The line of the mistake, -1 if there is none.
int wrong_line(std::string_view text) {
    mail::address_list found = mail::parse_address_list(text);
    if (!found.wrong_line)
        return -1;
    EXPECT_THAT(found.mailboxes, IsEmpty());
    return static_cast<int>(*found.wrong_line);
}

TEST(address_list, plain) {
    EXPECT_THAT(mailboxes(""), IsEmpty());
    EXPECT_THAT(mailboxes(" \r\n\t"), IsEmpty());
    EXPECT_THAT(mailboxes("a@b.example"), ElementsAre("a@b.example"));
    EXPECT_THAT(mailboxes(" a@b , c.d+e@f-g.example\r\n"), ElementsAre("a@b", "c.d+e@f-g.example"));
    EXPECT_THAT(mailboxes("<a@b>,< c @ d >"), ElementsAre("a@b", "c@d"));
    EXPECT_THAT(mailboxes("!#$%&'*+-/=?^_`{|}~@x"), ElementsAre("!#$%&'*+-/=?^_`{|}~@x"));
}

TEST(address_list, names) {
    EXPECT_THAT(mailboxes("Joe <a@b>"), ElementsAre("a@b"));
    EXPECT_THAT(mailboxes("Joe Doe <a@b>, \"Doe, Joe\" <c@d>"), ElementsAre("a@b", "c@d"));
    EXPECT_THAT(mailboxes(R"("Joe \"<x@y>\" Doe" <a@b>)"), ElementsAre("a@b"));
    EXPECT_THAT(mailboxes("=?utf-8?q?J=C3=B6?= <a@b>"), ElementsAre("a@b"));
    EXPECT_THAT(mailboxes("Jö Müller <jö@bücher.example>"), ElementsAre("jö@bücher.example"));
    EXPECT_THAT(mailboxes("J\xf6 <a@b>"), ElementsAre("a@b")) << "Latin-1 in a name";
}

TEST(address_list, comments) {
    EXPECT_THAT(mailboxes("a@b (Joe)"), ElementsAre("a@b"));
    EXPECT_THAT(mailboxes("(x)a(y)@(z)b(,)(((c@d)e)\\)f),g@h"), ElementsAre("a@b", "g@h"));
    EXPECT_THAT(mailboxes("Joe (the <x@y>) <a@b> (,)"), ElementsAre("a@b"));
    EXPECT_THAT(mailboxes("a@b (\xf6 \x01)"), ElementsAre("a@b"));
    EXPECT_THAT(mailboxes("(only)"), IsEmpty());
}

TEST(address_list, folds) {
    EXPECT_THAT(mailboxes(" a@b,\r\n c@d,\r\n\tJoe\r\n <e@f>\r\n"), ElementsAre("a@b", "c@d", "e@f"));
    EXPECT_THAT(mailboxes("a@b,\n c@d"), ElementsAre("a@b", "c@d"));
    EXPECT_THAT(mailboxes("\"x\r\n y\" <a@b>, \"p\r\n q\"@r"), ElementsAre("a@b", "\"p q\"@r"));
}

TEST(address_list, groups) {
    EXPECT_THAT(mailboxes("undisclosed-recipients:;"), IsEmpty());
    EXPECT_THAT(mailboxes("A: a@b, Joe <c@d>; , e@f, \"The Rest\": ;"), ElementsAre("a@b", "c@d", "e@f"));
    EXPECT_THAT(mailboxes("A B: ,, a@b,\r\n ,;"), ElementsAre("a@b"));
}

TEST(address_list, quoted_local_parts) {
    EXPECT_THAT(mailboxes(R"("a b"@c)"), ElementsAre(R"("a b"@c)"));
    EXPECT_THAT(mailboxes(R"("ab"@c)"), ElementsAre("ab@c")) << "quotes that mean nothing";
    EXPECT_THAT(mailboxes(R"("a\"\\\ \b"@c)"), ElementsAre(R"("a\"\\ b"@c)"));
    EXPECT_THAT(mailboxes(R"("a b".c@d)"), ElementsAre(R"("a b.c"@d)"));
    EXPECT_THAT(mailboxes(R"(""@c)"), ElementsAre(R"(""@c)"));
    EXPECT_THAT(mailboxes(R"("a@b"@c)"), ElementsAre(R"("a@b"@c)"));
}

TEST(address_list, domain_literals) {
    EXPECT_THAT(mailboxes("a@[1.2.3.4], b@[IPv6:::1]"), ElementsAre("a@[1.2.3.4]", "b@[IPv6:::1]"));
    EXPECT_EQ(wrong_line("a@[1 2]"), 0);
    EXPECT_EQ(wrong_line("a@[1[2]"), 0);
    EXPECT_EQ(wrong_line("a@[1\\]2]"), 0);
    EXPECT_EQ(wrong_line("a@[1"), 0);
    EXPECT_EQ(wrong_line("[1.2.3.4]"), 0);
}

TEST(address_list, obsolete_forms) {
    EXPECT_THAT(mailboxes("John Q. Public <a@b>"), ElementsAre("a@b"));
    EXPECT_THAT(mailboxes(",, a@b ,,,c@d,"), ElementsAre("a@b", "c@d"));
    EXPECT_THAT(mailboxes("<@one,,@two.example:a@b>"), ElementsAre("a@b"));
    EXPECT_THAT(mailboxes("a . b @ c . d"), ElementsAre("a.b@c.d"));
    EXPECT_THAT(mailboxes("a (x) . (y) b@c"), ElementsAre("a.b@c"));
}

TEST(address_list, forms_that_occur) {
    EXPECT_THAT(mailboxes("root"), ElementsAre("root"));
    EXPECT_THAT(mailboxes("root, Joe <joe>"), ElementsAre("root", "joe"));
    EXPECT_THAT(mailboxes("a..b.@c"), ElementsAre("\"a..b.\"@c"));
    EXPECT_THAT(mailboxes(".a@c"), ElementsAre("\".a\"@c"));
}

TEST(address_list, mistakes) {
    for (const char* text : {"a b",        "a@",          "@b",
                             "a@b@c",      "a@b c@d",     "a@b;",
                             ";",          "<>",          "<a@b",
                             "a@b>",       "Joe <>",      "Joe <a@b> x",
                             "a:b@c",      "a: b: c@d;;", ":a@b;",
                             "a@b..c",     "a@.b",        "a@b.",
                             "a\\b@c",     "a@b)",        "(a@b",
                             "((a)",       "\"a",         "\"a\\",
                             "a@\"b\"",    "a@b, <c@d",   ".",
                             "..@c",       "<@one:>",     "<@:a@b>",
                             "a:b;c@d",    "\x01@b",      "\"\x01\"@b",
                             "\xf6@b",     "a@\xf6",      "\xed\xa0\x80@b",
                             "\"a b\"c@d", "<a@b> <c@d>", "a@b, c d, e@f"})
        EXPECT_EQ(wrong_line(text), 0) << text;
    EXPECT_EQ(wrong_line(std::string_view("a\0@b", 4)), 0);
}

TEST(address_list, lines_of_mistakes) {
    EXPECT_EQ(wrong_line("a@b,\r\n c@d e@f,\r\n g@h"), 1);
    EXPECT_EQ(wrong_line("a@b,\n\n x@\n , y@z"), 3);
    EXPECT_EQ(wrong_line("a@b,\n \"x\n y"), 1) << "where the string begins";
    EXPECT_EQ(wrong_line("(\\\n\n\n) @"), 3);
}

TEST(address_list, what_comes_out_goes_in_and_comes_out_again) {
    for (const char* text :
         {"a.b@c", R"("a\"\\b c"@d)", R"(""@c)", "jö@bücher.example", "a@[1.2.3.4]", "root"}) {
        std::vector<std::string> once = mailboxes(text);
        ASSERT_EQ(once.size(), 1U);
        EXPECT_THAT(mailboxes(once[0]), ElementsAre(once[0]));
    }
}

TEST(address_list, hostile_text_costs_little) {
    const auto start = std::chrono::steady_clock::now();
    const std::size_t many = 1'000'000;
    for (const char* piece :
         {"(", "\"", "<", "a:", ",", ".", "a.", "a ", "@a,", "\\", "(\\", "[", "\"\" ", "<@a,"}) {
        std::string text;
        while (text.size() < many)
            text += piece;
        (void)mail::parse_address_list(text);
    }
    EXPECT_EQ(wrong_line(std::string(many, '(') + std::string(many, ')') + "a@b"), -1);
    EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(60));
}

} // namespace
