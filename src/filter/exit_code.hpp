// What a program's end means for a message (spec/filters-and-verifiers.md sections 2 and 3): pure.
#pragma once

#include "filter/filter.hpp"

#include <string_view>

namespace filter {

// Without response and reason. `code` is 128+n for a program killed by signal n.
result result_of_exit(kind what, unsigned code);

// Response, its code and the reason out of what a program has printed, for one that failed. Only the first
// 1024 octets count.
struct told {
    int code = 0;
    std::string response;
    std::string reason;
};
told read_output(std::string_view printed);

} // namespace filter
