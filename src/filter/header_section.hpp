// The header of a message taken apart into fields, for filters that look at them or change them; text only.
//
// What is not changed is written back octet by octet as it was.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace filter {

// A field without colon and line end; folded lines are divided by LF.
struct header_field {
    std::string name;
    std::string value; // with the blanks behind the colon
    bool operator==(const header_field&) const = default;
};

class header_section {
public:
    // The beginning of a message, up to and with its first empty line or its end; a line that is no header
    // field is the first line of the body.
    static header_section read(std::string_view message);

    // Octets that it took from the message, with the empty line.
    std::size_t size() const noexcept { return size_; }

    std::size_t count() const noexcept { return lines_.size(); }
    header_field field(std::size_t i) const;

    // Line ends in values are CR-LF afterwards; a line of a value that does not begin with a blank is given
    // one, so that it cannot become a field of its own.
    void insert(std::size_t at, const header_field& field);
    void replace(std::size_t at, const header_field& field);
    void remove(std::size_t at);

    // With the empty line that divides it from a body.
    std::string text() const;

private:
    std::vector<std::string> lines_; // fields as they are, with line ends
    std::string separator_;          // the empty line; empty if there is none
    std::size_t size_ = 0;
};

// Printable, no blank, no colon (RFC 5322 section 2.2).
bool is_field_name(std::string_view name);

} // namespace filter
