// Wall-clock time.
#pragma once

#include <cstdint>
#include <string>

namespace os {

struct calendar {
    int year = 1970, month = 1, day = 1, hour = 0, minute = 0, second = 0;
    int weekday = 4;    // 0 is Sunday
    int utc_offset = 0; // minutes east of Greenwich
    int millisecond = 0;
};

// Local time now. Thread-safe.
calendar local_now();
calendar local_time(std::int64_t seconds); // since 1970, UTC

// "YYYYMMDD.HHMMSS.mmm", as in the log.
std::string log_timestamp(const calendar& t);

// Seconds since 1970, UTC.
std::int64_t seconds_now();

} // namespace os
