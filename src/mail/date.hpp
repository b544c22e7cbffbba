// Calendar time as text. The clock and the time zone come from outside: this folder has neither.
#pragma once

#include <string>

namespace mail {

struct local_time {
    int year = 1970; // full
    int month = 1;   // 1 to 12
    int day = 1;     // 1 to 31
    int hour = 0;
    int minute = 0;
    int second = 0;     // 0 to 60
    int weekday = 4;    // 0 is Sunday
    int utc_offset = 0; // minutes east of Greenwich
};

// RFC 5322 section 3.3, day of month not padded: "Sun, 1 Nov 2026 05:17:47 +0000".
std::string format_date(const local_time& t);

} // namespace mail
