// Header fields in the form in which a milter hears and changes them: without the colon and the last line
// end, folded lines divided by LF.
#pragma once

#include "mail/header_section.hpp"

#include <string>

namespace filter {

struct milter_field {
    std::string name;
    std::string value; // with the blanks behind the colon
    bool operator==(const milter_field&) const = default;
};

milter_field field_for_milter(const mail::header_field& field);

// As it stands in a message. Line ends in the value are CR-LF afterwards; a line of it that does not begin
// with a blank is given one, so that it cannot become a field of its own, and empty ones go.
std::string field_in_message(const milter_field& field);

} // namespace filter
