#include "os/clock.hpp"

#include <fmt/format.h>

#include <ctime>

namespace os {

namespace {

base::calendar_time local_time_of(const timespec& when) {
    tm local{};
    localtime_r(&when.tv_sec, &local);
    return {.year = local.tm_year + 1900,
            .month = local.tm_mon + 1,
            .day = local.tm_mday,
            .hour = local.tm_hour,
            .minute = local.tm_min,
            .second = local.tm_sec,
            .millisecond = static_cast<int>(when.tv_nsec / 1'000'000),
            .weekday = local.tm_wday,
            .utc_offset = static_cast<int>(local.tm_gmtoff / 60)};
}

} // namespace

base::calendar_time local_now() {
    timespec now{};
    clock_gettime(CLOCK_REALTIME, &now);
    return local_time_of(now);
}

base::calendar_time local_time(std::int64_t seconds) {
    return local_time_of({.tv_sec = static_cast<std::time_t>(seconds), .tv_nsec = 0});
}

std::string log_timestamp(const base::calendar_time& t) {
    return fmt::format("{:04}{:02}{:02}.{:02}{:02}{:02}.{:03}", t.year, t.month, t.day, t.hour, t.minute,
                       t.second, t.millisecond);
}

std::int64_t seconds_now() {
    return static_cast<std::int64_t>(std::time(nullptr));
}

} // namespace os
