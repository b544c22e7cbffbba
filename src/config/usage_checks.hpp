// What is refused although every option by itself is well written (spec/command-line.md section 4), and what
// is refused because it is not built yet.
#pragma once

#include "config/option_values.hpp"

#include <optional>
#include <string>
#include <vector>

namespace config {

// The first check that fails for this instance, as the text behind "usage error: ".
std::optional<std::string> find_usage_error(const option_values& given);

// Values whose grammar is looked at only when all options suit each other, as the text behind "error: ".
std::optional<std::string> find_value_error(const option_values& given);

// One text for each option in use that has no code behind it yet, in the order of the table.
std::vector<std::string> find_unavailable(const std::vector<named_values>& instances);

} // namespace config
