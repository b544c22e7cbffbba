#include "mail/date.hpp"

#include <gtest/gtest.h>

namespace {

base::calendar_time a_sunday() {
    return {.year = 2026,
            .month = 11,
            .day = 22,
            .hour = 5,
            .minute = 17,
            .second = 47,
            .weekday = 0,
            .utc_offset = 0};
}

} // namespace

TEST(date, as_in_the_received_line) {
    EXPECT_EQ(mail::format_date(a_sunday()), "Sun, 22 Nov 2026 05:17:47 +0000");
}

TEST(date, day_of_month_is_not_padded) {
    auto t = a_sunday();
    t.day = 1;
    EXPECT_EQ(mail::format_date(t), "Sun, 1 Nov 2026 05:17:47 +0000");
}

TEST(date, zones_east_and_west_with_minutes) {
    auto t = a_sunday();
    t.utc_offset = -210;
    EXPECT_EQ(mail::format_date(t), "Sun, 22 Nov 2026 05:17:47 -0330");
    t.utc_offset = -30;
    EXPECT_EQ(mail::format_date(t), "Sun, 22 Nov 2026 05:17:47 -0030");
    t.utc_offset = 345;
    EXPECT_EQ(mail::format_date(t), "Sun, 22 Nov 2026 05:17:47 +0545");
    t.utc_offset = 14 * 60;
    EXPECT_EQ(mail::format_date(t), "Sun, 22 Nov 2026 05:17:47 +1400");
}

TEST(date, every_day_and_month_has_its_english_name) {
    auto t = a_sunday();
    std::string days, months;
    for (t.weekday = 0; t.weekday < 7; ++t.weekday)
        days += mail::format_date(t).substr(0, 3);
    t = a_sunday();
    for (t.month = 1; t.month <= 12; ++t.month)
        months += mail::format_date(t).substr(8, 3);
    EXPECT_EQ(days, "SunMonTueWedThuFriSat");
    EXPECT_EQ(months, "JanFebMarAprMayJunJulAugSepOctNovDec");
}

TEST(date, leap_second) {
    auto t = a_sunday();
    t.second = 60;
    EXPECT_EQ(mail::format_date(t), "Sun, 22 Nov 2026 05:17:60 +0000");
}
