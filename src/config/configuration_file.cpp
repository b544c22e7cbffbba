// The lines of a configuration file (spec/command-line.md section 3.3).

#include "base/text.hpp"
#include "config/settings.hpp"

namespace config {

namespace {

constexpr std::string_view blanks = " \t";

std::string_view without_leading_blanks(std::string_view text) {
    text.remove_prefix(std::min(text.find_first_not_of(blanks), text.size()));
    return text;
}

void read_line(std::string_view line, settings& into, const vocabulary& known) {
    line = base::trim(line);
    if (line.empty() || line.front() == '#')
        return;
    std::string_view name = line.substr(0, line.find_first_of(" \t="));
    std::string_view value = without_leading_blanks(line.substr(name.size()));
    if (value.starts_with('='))
        value = without_leading_blanks(value.substr(1));
    if (value.size() >= 2 && value.front() == '"' && value.back() == '"')
        value = value.substr(1, value.size() - 2);
    if (name.starts_with("--"))
        name.remove_prefix(2);
    // An empty value is no value here, unlike "--x=" on the command line.
    into.add_long(name, value.empty() ? std::nullopt : std::optional<std::string>(value), known);
}

} // namespace

settings read_file_text(std::string_view text, const vocabulary& known) {
    settings given;
    if (text.starts_with("\xef\xbb\xbf")) // editors on Windows put a byte order mark in front
        text.remove_prefix(3);
    while (!text.empty()) {
        const std::size_t end = std::min(text.find('\n'), text.size());
        read_line(text.substr(0, end), given, known);
        text.remove_prefix(std::min(end + 1, text.size()));
    }
    return given;
}

} // namespace config
