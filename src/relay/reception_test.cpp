// Who is let in: the limits on sessions, and the descriptors that the servers of a process share.
#include "relay/reception.hpp"

#include <gtest/gtest.h>

namespace {

using relay::descriptor_allowance;
using relay::reception_settings;
using relay::session_table;

TEST(session_limits, in_all_and_for_each_address) {
    session_table table({.max_sessions = 3, .max_sessions_per_address = 2});
    EXPECT_TRUE(table.enter("a"));
    EXPECT_TRUE(table.enter("a"));
    EXPECT_FALSE(table.enter("a"));
    EXPECT_TRUE(table.enter("b"));
    EXPECT_FALSE(table.enter("c"));
    table.leave("a");
    EXPECT_TRUE(table.enter("c"));
    EXPECT_EQ(table.size(), 3U);
}

TEST(session_limits, servers_share_descriptors) {
    descriptor_allowance descriptors(4);
    const reception_settings dear{.descriptors = &descriptors, .descriptor_thirds = 5};
    session_table one(dear), other(dear);
    EXPECT_TRUE(one.enter("a"));
    EXPECT_TRUE(other.enter("a"));
    EXPECT_FALSE(one.enter("a")) << "2 of 12 are left";
    EXPECT_FALSE(other.enter("a"));
    one.leave("a");
    EXPECT_TRUE(other.enter("a"));
    EXPECT_FALSE(one.enter("a"));
}

TEST(session_limits, descriptors_count_although_sessions_do_not) {
    descriptor_allowance descriptors(4);
    session_table table({.max_sessions = 0, .max_sessions_per_address = 0, .descriptors = &descriptors});
    for (int n = 0; n < 3; ++n)
        EXPECT_TRUE(table.enter("a"));
    EXPECT_FALSE(table.enter("a"));
}

TEST(session_limits, some_is_left_for_another_server) {
    descriptor_allowance descriptors(4);
    session_table crowd({.descriptors = &descriptors, .leaving_thirds = 4});
    session_table administrators({.descriptors = &descriptors});
    EXPECT_TRUE(crowd.enter("a"));
    EXPECT_TRUE(crowd.enter("b"));
    EXPECT_FALSE(crowd.enter("c"));
    EXPECT_TRUE(administrators.enter("c"));
    EXPECT_FALSE(administrators.enter("d"));
}

// One who is turned away because of the descriptors leaves no trace in the table.
TEST(session_limits, turned_away_takes_nothing) {
    descriptor_allowance descriptors(2);
    session_table table({.max_sessions_per_address = 1, .descriptors = &descriptors});
    EXPECT_TRUE(table.enter("a"));
    EXPECT_FALSE(table.enter("a"));
    EXPECT_FALSE(table.enter("b"));
    table.leave("a");
    EXPECT_TRUE(table.enter("b"));
    EXPECT_EQ(table.size(), 1U);
}

} // namespace
