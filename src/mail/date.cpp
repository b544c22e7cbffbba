#include "mail/date.hpp"

#include <fmt/format.h>

#include <cstdlib>
#include <string_view>

namespace mail {

std::string format_date(const base::calendar_time& t) {
    static constexpr std::string_view days[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static constexpr std::string_view months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                  "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    const auto weekday = static_cast<unsigned>(t.weekday) % 7;
    const auto month = static_cast<unsigned>(t.month - 1) % 12;
    const int zone = std::abs(t.utc_offset);
    return fmt::format("{}, {} {} {} {:02}:{:02}:{:02} {}{:02}{:02}", days[weekday], t.day, months[month],
                       t.year, t.hour, t.minute, t.second, t.utc_offset < 0 ? '-' : '+', zone / 60,
                       zone % 60);
}

} // namespace mail
