// Where the conversations of server_engine_test.cpp would hide what was parsed; the table of refused
// addresses is there.
#include "smtp/command.hpp"

#include <gtest/gtest.h>

using smtp::path;

TEST(command, verb_and_argument) {
    const auto c = smtp::parse_command(" \tMaIl \t FROM:<a@b> X ");
    EXPECT_EQ(c.what, smtp::verb::mail);
    EXPECT_EQ(c.word, "MaIl");
    EXPECT_EQ(c.argument, "FROM:<a@b> X ");
    EXPECT_EQ(smtp::parse_command("").what, smtp::verb::unknown);
    EXPECT_EQ(smtp::parse_command("  ").word, "");
    EXPECT_EQ(smtp::parse_command("NOOP\n").what, smtp::verb::unknown);
    EXPECT_EQ(smtp::parse_command("HELO:x").what, smtp::verb::unknown);
}

TEST(command, every_verb_is_known) {
    const std::pair<const char*, smtp::verb> verbs[] = {
        {"AUTH", smtp::verb::auth}, {"BDAT", smtp::verb::bdat},   {"DATA", smtp::verb::data},
        {"EHLO", smtp::verb::ehlo}, {"EXPN", smtp::verb::expn},   {"HELO", smtp::verb::helo},
        {"HELP", smtp::verb::help}, {"MAIL", smtp::verb::mail},   {"NOOP", smtp::verb::noop},
        {"QUIT", smtp::verb::quit}, {"RCPT", smtp::verb::rcpt},   {"RSET", smtp::verb::rset},
        {"VRFY", smtp::verb::vrfy}, {"GET", smtp::verb::unknown}, {"starttls", smtp::verb::starttls},
    };
    for (const auto& [word, what] : verbs)
        EXPECT_EQ(smtp::parse_command(word).what, what) << word;
}

TEST(command, path_leaves_the_parameters) {
    const path p = smtp::parse_path("FROM:<@r:\"a>\"@b> SIZE=1 X", "FROM:", true);
    EXPECT_EQ(p.wrong, path::fault::none);
    EXPECT_EQ(p.address, "\"a>\"@b");
    EXPECT_EQ(p.parameters, " SIZE=1 X");
    const path q = smtp::parse_path("to: a@b  X", "TO:", false);
    EXPECT_EQ(q.address, "a@b");
    EXPECT_EQ(q.parameters, "  X");
}

TEST(command, parts_of_an_address) {
    EXPECT_EQ(smtp::mailbox_part("\"a@b\"@c"), "\"a@b\"");
    EXPECT_EQ(smtp::domain_part("\"a@b\"@c"), "c");
    EXPECT_EQ(smtp::mailbox_part("postmaster"), "postmaster");
    EXPECT_EQ(smtp::domain_part("postmaster"), "");
}

TEST(command, mail_parameters) {
    const auto p = smtp::parse_mail_parameters(
        " size=10\tBody=7bit  AUTH=a=b SMTPUTF8 SIZE=11 BODY=x AUTH=c SMTPUTF8=x");
    EXPECT_EQ(p.size, 10U);
    EXPECT_FALSE(p.size_overflow);
    EXPECT_EQ(p.body, "7bit");
    EXPECT_EQ(p.auth, "a=b");
    EXPECT_TRUE(p.smtputf8);
    EXPECT_FALSE(p.malformed);
    EXPECT_TRUE(smtp::parse_mail_parameters("SIZE=18446744073709551616").size_overflow);
    EXPECT_FALSE(smtp::parse_mail_parameters("SIZE=18446744073709551616x").size_overflow);
    EXPECT_FALSE(smtp::parse_mail_parameters("SIZE=").size_overflow);
    EXPECT_TRUE(smtp::parse_mail_parameters("SMTPUTF8=").malformed);
    EXPECT_FALSE(smtp::parse_mail_parameters("").size);
}

TEST(command, chunk_arguments) {
    const auto chunk = [](std::string_view text) {
        const auto c = smtp::parse_chunk_argument(text);
        return (c.size ? std::to_string(*c.size) : "none") + (c.last ? " last" : "");
    };
    EXPECT_EQ(chunk("12"), "12");
    EXPECT_EQ(chunk(" 12\tlAST "), "12 last");
    EXPECT_EQ(chunk("12 LASTLY"), "12");
    EXPECT_EQ(chunk("12 x LAST"), "12");
    EXPECT_EQ(chunk("LAST"), "none");
    EXPECT_EQ(chunk("+1"), "none");
    EXPECT_EQ(chunk("0x1"), "none");
    EXPECT_EQ(chunk("18446744073709551615"), "18446744073709551615");
    EXPECT_EQ(chunk("18446744073709551616"), "none");
}
