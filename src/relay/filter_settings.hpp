// Which filters a relay has for one purpose: --filter, or --client-filter.
#pragma once

#include "filter/filter.hpp"

#include <chrono>

namespace relay {

struct filter_settings {
    filter::makers makers;            // none: no filters
    std::chrono::seconds timeout{60}; // 0 = none
};

} // namespace relay
