// One line of a network filter (spec/filters-and-verifiers.md section 4).
#pragma once

#include "filter/filter.hpp"

#include <string_view>

namespace filter {

// `line` without its line end.
result read_network_answer(std::string_view line);

} // namespace filter
