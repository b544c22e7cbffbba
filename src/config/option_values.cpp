#include "config/option_values.hpp"

#include "base/text.hpp"
#include "base/translation.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <limits>
#include <map>
#include <set>
#include <utility>

namespace config {

namespace {

using uses_of_option = std::vector<const setting*>;

void check(const option& row, const uses_of_option& uses, std::vector<std::string>& errors) {
    const auto is_off = [](const setting* use) {
        return use->off;
    };
    if (std::any_of(uses.begin(), uses.end(), is_off) && !std::all_of(uses.begin(), uses.end(), is_off)) {
        errors.push_back(base::tr_format("conflicting values: \"{}\"", uses.front()->long_name()));
        return;
    }
    const auto differs = [first = uses.front()](const setting* use) {
        return use->value != first->value;
    };
    if (row.takes == value_kind::list || std::none_of(uses.begin(), uses.end(), differs))
        return;
    const auto is_long = [](const setting* use) {
        return !use->by_letter;
    };
    const auto shown = std::find_if(uses.begin(), uses.end(), is_long);
    errors.push_back(
        base::tr_format("duplicate use of \"{}\"", (shown == uses.end() ? uses.front() : *shown)->written()));
}

} // namespace

std::string row_values::value(std::size_t row) const {
    return fmt::format("{}", fmt::join(values(row), ","));
}

std::vector<std::string> row_values::items(std::size_t row) const {
    std::vector<std::string> found;
    for (const std::string& value : values(row))
        for (const std::string& item : base::split(value, ','))
            if (!base::trim(item).empty())
                found.emplace_back(base::trim(item));
    return found;
}

template <class Number>
Number row_values::number(std::size_t row, Number otherwise) const {
    const std::optional<std::uint64_t> written = base::to_number(value(row));
    return written && *written <= std::numeric_limits<Number>::max() ? static_cast<Number>(*written)
                                                                     : otherwise;
}

template unsigned row_values::number(std::size_t, unsigned) const;
template std::uint64_t row_values::number(std::size_t, std::uint64_t) const;

void row_values::merge(const std::vector<const setting*>& uses, std::span<const option> rows,
                       std::vector<std::string>& errors) {
    std::map<std::size_t, uses_of_option> by_row;
    for (const setting* use : uses)
        by_row[static_cast<std::size_t>(use->row - rows.data())].push_back(use);
    for (const auto& [row, of_row] : by_row) {
        check(rows[row], of_row, errors);
        for (const setting* use : of_row)
            if (!use->off)
                add(row, *use);
    }
}

void row_values::add(std::size_t row, const setting& use) {
    entry& e = entries_[row];
    ++e.times;
    const bool repeated = use.row->takes != value_kind::list && !e.values.empty();
    if (use.value && !repeated)
        e.values.push_back(*use.value);
}

namespace {

constexpr known_option spool_dir("spool-dir");

// Each spool directory makes an instance, in order of appearance. One prefix with two directories makes two;
// the nameless instance is always one, so that two directories there are a duplicate.
struct founding {
    std::string name;
    const setting* spool = nullptr; // null when no directory is named at all
};

std::vector<founding> found_instances(const std::vector<setting>& uses) {
    std::vector<founding> found;
    std::set<std::pair<std::string, std::string>> seen;
    for (const setting& use : uses) {
        if (use.row != &spool_dir.row())
            continue;
        if (seen.emplace(use.prefix, use.prefix.empty() ? std::string() : *use.value).second)
            found.push_back({use.prefix, &use});
    }
    if (found.empty())
        found.push_back({});
    return found;
}

bool belongs(const setting& use, const founding& one, bool is_first) {
    if (use.row == &spool_dir.row())
        return use.prefix == one.name && (one.name.empty() || use.value == one.spool->value);
    if (use.row->belongs_to == scope::whole_process && !is_first)
        return false;
    return use.prefix.empty() ? is_first : use.prefix == one.name;
}

void check_prefixes(const std::vector<setting>& uses, const std::vector<founding>& founded,
                    std::vector<std::string>& errors) {
    std::set<std::string_view> names{""};
    for (const founding& one : founded)
        names.insert(one.name);
    for (const setting& use : uses)
        if (!names.contains(use.prefix))
            errors.push_back(base::tr_format("invalid option: \"{}\"", use.long_name()));
}

} // namespace

divided divide(const std::vector<setting>& uses) {
    divided result;
    const std::vector<founding> founded = found_instances(uses);
    check_prefixes(uses, founded, result.errors);
    for (const founding& one : founded) {
        std::vector<const setting*> own;
        for (const setting& use : uses)
            if (belongs(use, one, &one == &founded.front()))
                own.push_back(&use);
        named_values& made = result.instances.emplace_back(named_values{one.name, {}});
        made.given.merge(own, options(), result.errors);
    }
    return result;
}

} // namespace config
