// The texts of --help and --version (spec/command-line.md sections 5 and 6), made from the option table.
#pragma once

#include "config/configuration.hpp"

#include <string>

namespace config {

std::string help_text(bool complete, const surroundings& around);
std::string version_text(bool complete, const surroundings& around);

} // namespace config
