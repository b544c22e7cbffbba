#include "config/option_values.hpp"

#include "base/text.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <limits>
#include <map>
#include <set>
#include <utility>

namespace config {

std::string option_values::value(known_option name) const {
    return fmt::format("{}", fmt::join(values(name), ","));
}

std::vector<std::string> option_values::items(known_option name) const {
    std::vector<std::string> found;
    for (const std::string& value : values(name))
        for (const std::string& item : base::split(value, ','))
            if (!base::trim(item).empty())
                found.emplace_back(base::trim(item));
    return found;
}

template <class Number>
Number option_values::number(known_option name, Number otherwise) const {
    const std::optional<std::uint64_t> written = base::to_number(value(name));
    return written && *written <= std::numeric_limits<Number>::max() ? static_cast<Number>(*written)
                                                                     : otherwise;
}

template unsigned option_values::number(known_option, unsigned) const;
template std::uint64_t option_values::number(known_option, std::uint64_t) const;

namespace {

using uses_of_option = std::vector<const setting*>;

// What one instance was given, divided by option.
class instance_uses {
public:
    void add(const setting& use) { by_row_[index_of(*use.row)].push_back(&use); }

    option_values merge(std::vector<std::string>& errors) const {
        option_values merged;
        for (const auto& [row, uses] : by_row_) {
            check(*uses.front()->row, uses, errors);
            for (const setting* use : uses)
                if (!use->off)
                    merge_one(row, *use, merged);
        }
        return merged;
    }

private:
    static void merge_one(std::size_t row, const setting& use, option_values& merged) {
        merged.count(row);
        const bool repeated = use.row->takes != value_kind::list && !merged.values(row).empty();
        if (use.value && !repeated)
            merged.add_value(row, *use.value);
    }

    static void check(const option& row, const uses_of_option& uses, std::vector<std::string>& errors) {
        const auto is_off = [](const setting* use) {
            return use->off;
        };
        if (std::any_of(uses.begin(), uses.end(), is_off) && !std::all_of(uses.begin(), uses.end(), is_off)) {
            errors.push_back(fmt::format("conflicting values: \"{}\"", uses.front()->long_name()));
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
            fmt::format("duplicate use of \"{}\"", (shown == uses.end() ? uses.front() : *shown)->written()));
    }

    std::map<std::size_t, uses_of_option> by_row_;
};

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
            errors.push_back(fmt::format("invalid option: \"{}\"", use.long_name()));
}

} // namespace

divided divide(const std::vector<setting>& uses) {
    divided result;
    const std::vector<founding> founded = found_instances(uses);
    check_prefixes(uses, founded, result.errors);
    for (const founding& one : founded) {
        instance_uses own;
        for (const setting& use : uses)
            if (belongs(use, one, &one == &founded.front()))
                own.add(use);
        result.instances.push_back({one.name, own.merge(result.errors)});
    }
    return result;
}

} // namespace config
