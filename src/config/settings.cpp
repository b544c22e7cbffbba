#include "config/settings.hpp"

#include "base/text.hpp"
#include "base/translation.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <utility>

namespace config {

namespace {

bool is_instance_name(std::string_view prefix) {
    // "gui-..." keys belong to the graphical tool of the reference and are errors here, "gui-spool-dir" too.
    return !prefix.empty() && prefix != "gui" && std::all_of(prefix.begin(), prefix.end(), [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
    });
}

} // namespace

std::optional<bool> yes_or_no(std::string_view value) {
    const std::string word = base::to_lower(base::trim(value));
    for (const char* yes : {"y", "yes", "t", "true", "1", "on"})
        if (word == yes)
            return true;
    for (const char* no : {"n", "no", "f", "false", "0", "off"})
        if (word == no)
            return false;
    return std::nullopt;
}

// An option of exactly this name comes first: "client-filter" is never the filter of an instance "client".
long_name find_long_name(std::string_view name, const vocabulary& known) {
    if (const option* row = known.find(name))
        return {row, {}};
    const std::size_t dash = name.find('-');
    if (!known.instances || dash == std::string_view::npos || !is_instance_name(name.substr(0, dash)))
        return {};
    const option* row = known.find(name.substr(dash + 1));
    return row ? long_name{row, std::string(name.substr(0, dash))} : long_name{};
}

void sort_errors(std::vector<std::string>& errors) {
    std::sort(errors.begin(), errors.end());
    errors.erase(std::unique(errors.begin(), errors.end()), errors.end());
}

std::string error_lines(std::string_view program, const std::vector<std::string>& errors) {
    std::string lines;
    for (const std::string& text : errors)
        lines += base::tr_format("{}: error: {}\n", program, text);
    return lines;
}

std::string setting::long_name() const {
    return fmt::format("--{}{}{}", prefix, prefix.empty() ? "" : "-", row->name);
}

std::string setting::written() const {
    return by_letter ? fmt::format("-{}", row->letter) : long_name();
}

void settings::append(settings more) {
    std::move(more.uses.begin(), more.uses.end(), std::back_inserter(uses));
    std::move(more.errors.begin(), more.errors.end(), std::back_inserter(errors));
}

void settings::add(setting use) {
    const value_kind takes = use.row->takes;
    const bool must_have_value = takes == value_kind::one || takes == value_kind::list;
    if (must_have_value) {
        if (!use.value) {
            const char* quote = use.by_letter ? "" : "\"";
            errors.push_back(base::tr_format("no value supplied for {0}{1}{0}", quote, use.written()));
            return;
        }
    } else if (use.value) {
        const std::optional<bool> answer = yes_or_no(*use.value);
        if (!answer && takes == value_kind::none) {
            errors.push_back(base::tr_format("cannot give a value with \"{}\" ({})", use.long_name(),
                                             base::printable(*use.value)));
            return;
        }
        if (answer) { // "--syslog=yes" gives no particular facility
            use.off = !*answer;
            use.value.reset();
        }
    }
    uses.push_back(std::move(use));
}

void settings::add_long(std::string_view name, std::optional<std::string> value, const vocabulary& known) {
    long_name found = find_long_name(name, known);
    if (found.row)
        add({.row = found.row, .prefix = std::move(found.prefix), .value = std::move(value)});
    else
        errors.push_back(base::tr_format("invalid option: \"{}\"", "--" + base::printable(name)));
}

} // namespace config
