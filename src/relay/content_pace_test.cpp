// When a content has come too slowly; time is passed in.
#include "relay/content_pace.hpp"

#include <gtest/gtest.h>

namespace {

using relay::content_pace;
using std::chrono::hours;
using std::chrono::seconds;

const net::time_point now{hours(1000)};

TEST(content_pace, the_first_minute_is_free) {
    content_pace pace(500);
    EXPECT_EQ(pace.too_slow_at(now), now + seconds(60));
    pace.waited(seconds(59), 0);
    EXPECT_EQ(pace.too_slow_at(now), now + seconds(1));
}

TEST(content_pace, only_waits_count) {
    content_pace pace(500);
    pace.waited(seconds(10), 1);
    EXPECT_EQ(pace.too_slow_at(now + hours(1)), now + hours(1) + seconds(50)); // a filter has taken the hour
}

TEST(content_pace, octets_earn_time) {
    content_pace pace(500);
    pace.waited(seconds(1), 500 * 100);
    EXPECT_EQ(pace.too_slow_at(now), now + seconds(60 + 100 - 1));
    pace.waited(seconds(159), 499);
    EXPECT_EQ(pace.too_slow_at(now), now);
}

TEST(content_pace, small_pieces_do_not_begin_it_anew) {
    content_pace pace(500);
    for (int i = 0; i < 60; ++i)
        pace.waited(seconds(1), 1);
    EXPECT_EQ(pace.too_slow_at(now), now);
}

TEST(content_pace, the_next_content_does) {
    content_pace pace(500);
    pace.waited(seconds(60), 1'000'000);
    pace.begin();
    EXPECT_EQ(pace.too_slow_at(now), now + seconds(60));
}

TEST(content_pace, no_limit) {
    content_pace pace(0);
    pace.waited(hours(100), 0);
    EXPECT_EQ(pace.too_slow_at(now), net::time_point::max());
}

} // namespace
