#include "verify/answer.hpp"

#include <gtest/gtest.h>

#include <string>

namespace verify {

TEST(lines, of_what_was_printed) {
    lines found = read_lines("one\r\ntwo\r\nthree\r\n\r\n");
    EXPECT_EQ(found.first, "one");
    EXPECT_TRUE(found.has_second);
    EXPECT_EQ(found.second, "two");
    EXPECT_FALSE(read_lines("").has_second);
    EXPECT_FALSE(read_lines("one\n\n \t\n").has_second);
    EXPECT_EQ(read_lines("\ntwo").first, "");
    EXPECT_EQ(read_lines("\ntwo").second, "two");
}

TEST(exit_codes, mean_what_the_table_says) {
    using kind = verdict::kind;
    lines none, one = read_lines("a"), two = read_lines("a\nb");
    EXPECT_EQ(verdict_of_exit(0, two).what, kind::local);
    EXPECT_EQ(verdict_of_exit(0, two).full_name, "a");
    EXPECT_EQ(verdict_of_exit(0, two).address, "b");
    EXPECT_EQ(verdict_of_exit(1, two).what, kind::remote);
    EXPECT_EQ(verdict_of_exit(1, two).address, "b");
    EXPECT_EQ(verdict_of_exit(100, two).what, kind::abort_session);
    EXPECT_EQ(verdict_of_exit(3, two).what, kind::rejected_for_now);
    for (unsigned code : {0u, 1u, 2u, 4u, 99u, 101u, 137u, 255u})
        EXPECT_EQ(verdict_of_exit(code, one).what, kind::rejected) << code;
    EXPECT_EQ(verdict_of_exit(2, two).response, "a");
    EXPECT_EQ(verdict_of_exit(2, two).reason, "b");
    EXPECT_EQ(verdict_of_exit(2, none).response, "mailbox unavailable");
    EXPECT_EQ(verdict_of_exit(2, none).reason, "exit code 2");
}

} // namespace verify
