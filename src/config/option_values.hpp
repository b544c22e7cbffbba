// The options of one relay instance, and the division of what was written into instances
// (spec/command-line.md section 3.4).
#pragma once

#include "config/option_table.hpp"
#include "config/settings.hpp"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace config {

class option_values {
public:
    option_values() : entries_(options().size()) {}

    // Given, and not as "no".
    bool has(known_option name) const { return has(name.index()); }
    bool has(std::size_t row) const { return entries_[row].times != 0; }
    unsigned times(known_option name) const { return entries_[name.index()].times; }

    // All values in the order written: at most one unless the option is a list.
    const std::vector<std::string>& values(known_option name) const { return values(name.index()); }
    const std::vector<std::string>& values(std::size_t row) const { return entries_[row].values; }

    // The value, empty if there is none; a list joined with commas.
    std::string value(known_option name) const;

    // The values divided at commas, without blanks around them and without empty ones.
    std::vector<std::string> items(known_option name) const;

    // The number, or `otherwise` if there is none, or none that fits: bad numbers are no errors
    // (section 3.1).
    template <class Number>
    Number number(known_option name, Number otherwise) const;

    void count(std::size_t row) { ++entries_[row].times; }
    void add_value(std::size_t row, std::string value) { entries_[row].values.push_back(std::move(value)); }

private:
    struct entry {
        unsigned times = 0;
        std::vector<std::string> values;
    };
    std::vector<entry> entries_; // one for each row of the table
};

extern template unsigned option_values::number(known_option, unsigned) const;
extern template std::uint64_t option_values::number(known_option, std::uint64_t) const;

struct named_values {
    std::string name; // of the instance, empty for the nameless one
    option_values given;
};

struct divided {
    std::vector<named_values> instances; // at least one
    std::vector<std::string> errors;     // conflicts, duplicates, prefixes without a spool directory
};

divided divide(const std::vector<setting>& uses);

} // namespace config
