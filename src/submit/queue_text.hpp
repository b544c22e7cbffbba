// What mailq prints, in the form that people know from other sendmails. Pure.
#pragma once

#include "base/calendar_time.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace submit {

struct queued_message {
    std::string id;
    char mark = ' '; // '*' being sent, '!' failed
    std::uint64_t size = 0;
    std::optional<base::calendar_time> arrived{};
    std::string sender{}; // as it is; made printable here
    std::vector<std::string> recipients{};
    std::string reason{}; // why it failed, or could not be read
};

std::string queue_text(const std::vector<queued_message>& messages);

} // namespace submit
