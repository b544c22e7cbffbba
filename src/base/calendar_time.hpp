// A moment as calendars and clocks on the wall show it. Who needs one is given it: only os/ asks the clock.
#pragma once

namespace base {

struct calendar_time {
    int year = 1970; // full
    int month = 1;   // 1 to 12
    int day = 1;     // 1 to 31
    int hour = 0;
    int minute = 0;
    int second = 0; // 0 to 60
    int millisecond = 0;
    int weekday = 4;    // 0 is Sunday
    int utc_offset = 0; // minutes east of Greenwich
};

} // namespace base
