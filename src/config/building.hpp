// From the options of an instance to the structs of configuration.hpp, and the warnings that go with them.
//
// Values are taken as correct: usage_checks.hpp comes first.
#pragma once

#include "config/configuration.hpp"
#include "config/option_values.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace config {

// @app at the start stands for the directory of the program; relative paths begin in the start directory. An
// empty path stays empty.
std::string absolute_path(std::string_view path, const surroundings& around);

process build_process(const option_values& first_instance, const surroundings& around);
// `daemon`: the process is going to leave its start directory.
instance build_instance(const named_values& one, const surroundings& around, bool daemon = true);

// In the order of spec/command-line.md section 4, instance by instance.
std::vector<std::string> find_warnings(const std::vector<named_values>& instances,
                                       const surroundings& around);

// --forward-to, or the server named by --as-client or --as-proxy.
std::string forwarding_address(const option_values& given);

bool is_logging(const option_values& given);

} // namespace config
