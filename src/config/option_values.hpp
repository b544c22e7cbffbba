// The options of one relay instance, and the division of what was written into instances
// (spec/command-line.md section 3.4).
#pragma once

#include "config/option_table.hpp"
#include "config/settings.hpp"

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace config {

// What was given for each row of a table.
class row_values {
public:
    explicit row_values(std::size_t rows) : entries_(rows) {}

    // Given, and not as "no".
    bool has(std::size_t row) const { return entries_[row].times != 0; }
    unsigned times(std::size_t row) const { return entries_[row].times; }

    // All values in the order written: at most one unless the option is a list.
    const std::vector<std::string>& values(std::size_t row) const { return entries_[row].values; }

    // The value, empty if there is none; a list joined with commas.
    std::string value(std::size_t row) const;

    // The values divided at commas, without blanks around them and without empty ones.
    std::vector<std::string> items(std::size_t row) const;

    // The number, or `otherwise` if there is none, or none that fits: bad numbers are no errors
    // (section 3.1).
    template <class Number>
    Number number(std::size_t row, Number otherwise) const;

    // Merges what was written, in its order; `errors` gets conflicts and duplicates. The uses are of `rows`.
    void merge(const std::vector<const setting*>& uses, std::span<const option> rows,
               std::vector<std::string>& errors);

private:
    void add(std::size_t row, const setting& use);

    struct entry {
        unsigned times = 0;
        std::vector<std::string> values;
    };
    std::vector<entry> entries_;
};

extern template unsigned row_values::number(std::size_t, unsigned) const;
extern template std::uint64_t row_values::number(std::size_t, std::uint64_t) const;

// The same, with names in place of rows: given.has("port").
template <const auto& Table>
class table_values : public row_values {
public:
    using name = row_of<Table>;

    table_values() : row_values(std::size(Table)) {}

    using row_values::has;
    using row_values::values;
    bool has(name n) const { return row_values::has(n.index()); }
    unsigned times(name n) const { return row_values::times(n.index()); }
    const std::vector<std::string>& values(name n) const { return row_values::values(n.index()); }
    std::string value(name n) const { return row_values::value(n.index()); }
    std::vector<std::string> items(name n) const { return row_values::items(n.index()); }
    template <class Number>
    Number number(name n, Number otherwise) const {
        return row_values::number(n.index(), otherwise);
    }
};

using option_values = table_values<detail::table>; // the relay's

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
