// Calendar time as text. The clock and the time zone come from outside: this folder has neither.
#pragma once

#include "base/calendar_time.hpp"

#include <string>

namespace mail {

// RFC 5322 section 3.3, day of month not padded: "Sun, 1 Nov 2026 05:17:47 +0000".
std::string format_date(const base::calendar_time& t);

} // namespace mail
