#include "config/option_table.hpp"

#include "base/translation.hpp"

#include <fmt/format.h>

namespace config {

namespace {

bool is_known(const option& row, platform on) {
    return !row.only_on || *row.only_on == on;
}

} // namespace

const option* vocabulary::find(std::string_view name) const {
    for (const option& row : rows)
        if (row.name == name && is_known(row, on))
            return &row;
    return nullptr;
}

const option* vocabulary::find(char letter) const {
    for (const option& row : rows)
        if (row.letter != 0 && row.letter == letter && is_known(row, on))
            return &row;
    return nullptr;
}

vocabulary relay_vocabulary(platform on) {
    return {.rows = options(), .on = on, .instances = true};
}

std::size_t index_of(const option& row) {
    return static_cast<std::size_t>(&row - options().data());
}

std::string_view title(section s) {
    switch (s) {
    case section::basic:
        return "Basic options";
    case section::smtp_client:
        return "SMTP client options";
    case section::smtp_server:
        return "SMTP server options";
    case section::pop_server:
        return "POP server options";
    case section::admin_server:
        return "Admin server options";
    case section::authentication:
        return "Authentication options";
    case section::tls:
        return "TLS options";
    case section::process:
        return "Process options";
    case section::logging:
        return "Logging options";
    }
    return {};
}

std::string shape(const option& row) {
    switch (row.takes) {
    case value_kind::none:
        return fmt::format("--{}", row.name);
    case value_kind::one:
    case value_kind::list:
        return fmt::format("--{}={}", row.name, row.placeholder);
    case value_kind::may_follow:
        return fmt::format("--{}[={}]", row.name, row.placeholder);
    }
    return {};
}

std::string description(const option& row, bool full) {
    std::string text = base::tr(row.text);
    if (!row.normally.empty())
        text += base::tr_format(" (default: {})", base::tr(row.normally));
    if (!full)
        return text;
    if (!row.equivalent_to.empty())
        text += base::tr_format(" (equivalent to {})", row.equivalent_to);
    if (!row.needs.empty())
        text += base::tr_format(" (requires {})", row.needs);
    if (row.built == availability::later)
        text += base::tr(" (not available in this build yet)");
    return text;
}

} // namespace config
