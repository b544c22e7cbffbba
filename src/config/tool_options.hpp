// The command lines of the programs beside the relay (emailrelay-submit, ...): a table each, in the form of
// the relay's own and read by the same rules (spec/command-line.md section 3.1).
//
//     inline constexpr option table[] = {{.name = "help", .letter = 'h', .text = "show this and end"}, ...};
//     auto line = config::read_tool_options<table>(words);
//     if (line.given.has("help")) ...
#pragma once

#include "config/help.hpp"
#include "config/option_values.hpp"

#include <string>
#include <vector>

namespace config {

template <const auto& Table>
struct tool_options {
    table_values<Table> given;
    std::vector<std::string> words;  // from the first on that is no option, or behind "--"
    std::vector<std::string> errors; // sorted, each once, without the program's name in front
};

template <const auto& Table>
tool_options<Table> read_tool_options(const std::vector<std::string>& words) {
    tool_options<Table> result;
    command_line line = read_words(words, vocabulary{.rows = Table});
    std::vector<const setting*> uses;
    for (const setting& use : line.given.uses)
        uses.push_back(&use);
    result.errors = std::move(line.given.errors);
    result.given.merge(uses, Table, result.errors);
    sort_errors(result.errors);
    result.words = std::move(line.rest);
    return result;
}

} // namespace config
