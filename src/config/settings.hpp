// What was written on the command line or in a configuration file, option by option, before it is known which
// relay instance each belongs to (spec/command-line.md sections 3.1 and 3.3).
//
// Readers never stop at an error: they collect the texts, so that all mistakes are shown at once.
#pragma once

#include "config/option_table.hpp"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace config {

// One use of an option.
struct setting {
    const option* row = nullptr;
    std::string prefix{}; // name of the instance, empty if there is none
    bool by_letter = false;
    bool off = false;                   // a flag or an optional value given as "no"
    std::optional<std::string> value{}; // nothing for flags, and for an optional value that is not given

    std::string long_name() const; // --port, --in-port
    std::string written() const;   // as it was written: -p or --port
};

struct settings {
    std::vector<setting> uses;       // in the order written
    std::vector<std::string> errors; // without the "emailrelay: error: " in front

    void append(settings more);

    // Takes one use, and what is written about it into `errors` if the value does not suit the option.
    void add(setting use);

    // Takes a long option with or without a prefix; nothing is added but an error if there is none of that
    // name.
    void add_long(std::string_view name, std::optional<std::string> value, const vocabulary& known);
};

// The words of a command line, without the program name.
struct command_line {
    settings given;
    std::vector<std::string> rest; // from the first word on that is no option
};

command_line read_words(const std::vector<std::string>& words, const vocabulary& known);

// As they are printed: sorted, each once; "<program>: error: <text>" line by line.
void sort_errors(std::vector<std::string>& errors);
std::string error_lines(std::string_view program, const std::vector<std::string>& errors);

// The text of a configuration file.
settings read_file_text(std::string_view text, const vocabulary& known);

// The options that variables of the environment give (--env), of those that `given` does not have:
// EMAILRELAY_PORT is
// --port, EMAILRELAY_PORT_FILE names a file that holds its value. They count as given without an instance's
// name.
struct surroundings;
settings read_environment(const settings& given, const vocabulary& known, const surroundings& around);

// A long name, with the name of an instance in front or not: "in-port" is {port, "in"}.
struct long_name {
    const option* row = nullptr; // null if there is no such option
    std::string prefix;
};
long_name find_long_name(std::string_view name, const vocabulary& known);

// "Yes", " on ", "0" ...; nothing if it is neither yes nor no.
std::optional<bool> yes_or_no(std::string_view value);

} // namespace config
