// The texts of --help and --version (spec/command-line.md sections 5 and 6), made from the option table.
#pragma once

#include "config/configuration.hpp"
#include "config/option_table.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace config {

// What help says beside the options, of the relay or of a tool.
struct usage {
    std::string program;
    std::vector<std::string_view> words{}; // behind the options: "[<config-file>]"
    unsigned columns = 79;
    std::string default_spool_dir{}; // shown at --spool-dir
    bool sections = false;           // the complete help has headings
    std::string remarks{};           // at the end of the complete help
};
std::string help_text(const vocabulary& known, const usage& of, bool complete);

// The relay's own.
std::string help_text(bool complete, const surroundings& around);
std::string version_text(bool complete, const surroundings& around);

} // namespace config
