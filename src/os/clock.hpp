// Wall-clock time.
#pragma once

#include "base/calendar_time.hpp"

#include <cstdint>
#include <string>

namespace os {

// Local time now. Thread-safe.
base::calendar_time local_now();
base::calendar_time local_time(std::int64_t seconds); // since 1970, UTC

// "YYYYMMDD.HHMMSS.mmm", as in the log.
std::string log_timestamp(const base::calendar_time& t);

// Seconds since 1970, UTC.
std::int64_t seconds_now();

} // namespace os
