// The header section of a message as a list of fields, so that some can be looked at, taken out and put in
// while the others stay byte for byte (RFC 5322 section 2.2).
#pragma once

#include <cstddef>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace mail {

struct header_field {
    std::string text{};   // the whole field with its continuation lines and line ends
    std::size_t line = 0; // where it begins, the first line is 1

    // As written; empty for a line that is no field ("From x Sun Nov 22 ...", "hello").
    std::string_view name() const noexcept;
    std::string_view body() const noexcept; // behind the colon; with folds, without the last line end
    bool is(std::string_view wanted) const noexcept; // in any case
};

// The field name in front of the colon of a line, empty if the line is no field. Blanks in front of the colon
// are allowed (RFC 5322 section 4.5) and no part of the name.
std::string_view field_name(std::string_view line) noexcept;

// Printable, no blank, no colon (RFC 5322 section 2.2).
bool is_field_name(std::string_view name) noexcept;

class header_section {
public:
    header_section() = default;
    // `text`: whole lines, without the empty line at the end.
    explicit header_section(std::string_view text);

    const std::vector<header_field>& fields() const noexcept { return fields_; }
    bool has(std::string_view name) const noexcept;
    std::vector<const header_field*> all(std::string_view name) const;

    void remove(std::initializer_list<std::string_view> names);
    void remove(std::size_t at);
    // With their line ends. A place behind the last one is that.
    void insert(std::size_t at, std::string field);
    void replace(std::size_t at, std::string field);
    void put_in_front(std::string field) { insert(0, std::move(field)); }
    // One line takes the place of the first field of that name, the others go.
    void replace(std::string_view name, std::string line);

    std::string text() const; // without the empty line at the end

private:
    std::vector<header_field> fields_;
};

// The header at the beginning of a message; what is not changed is written back octet by octet as it was.
struct message_header {
    header_section section{};
    std::string separator{}; // the empty line; empty if there is none
    std::size_t size = 0;    // octets that it took from the message, with the empty line

    std::string text() const; // with an empty line in any case
};

// Up to and with the first empty line, or the end; a line that is no header field is the first of the body.
message_header read_header(std::string_view message);

} // namespace mail
