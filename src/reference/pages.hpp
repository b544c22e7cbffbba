// What the option table says, in the forms that others read: manual page, reference in Markdown, completions
// for shells.
//
// Part of the build, not of the product: the program emailrelay-reference prints one of them. Options for
// other platforms and hidden ones are left out. Pure; each function returns the whole text.
#pragma once

#include "config/option_table.hpp"

#include <span>
#include <string>
#include <string_view>

namespace reference {

// The options that are shown, in the order of the table.
std::vector<const config::option*> shown(std::span<const config::option> rows);

// The "OPTIONS" part of a manual page in mdoc(7), without its heading; with a sub-section for each section of
// the table if there is more than one.
std::string manual_options(std::span<const config::option> rows);

// The options of emailrelay.conf in mdoc(7): long names without dashes.
std::string manual_file_options(std::span<const config::option> rows);

std::string markdown(std::span<const config::option> rows);

// The texts of the table that are shown translated, as calls that xgettext(1) understands.
std::string texts(std::span<const config::option> rows);

// `program` takes these options, then the name of a file.
std::string bash_completion(std::string_view program, std::span<const config::option> rows);
std::string zsh_completion(std::string_view program, std::span<const config::option> rows);
std::string fish_completion(std::string_view program, std::span<const config::option> rows);

} // namespace reference
