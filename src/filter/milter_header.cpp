#include "filter/milter_header.hpp"

#include <string_view>

namespace filter {

milter_field field_for_milter(const mail::header_field& field) {
    milter_field out{std::string(field.name()), {}};
    const std::string_view body = field.body();
    for (std::size_t at = 0; at < body.size(); ++at)
        if (body[at] != '\r' || at + 1 == body.size() || body[at + 1] != '\n')
            out.value += body[at];
    return out;
}

std::string field_in_message(const milter_field& field) {
    std::string out = field.name + ":";
    bool new_line = false;
    for (char c : field.value) {
        if (c == '\r')
            continue;
        if (new_line && c != ' ' && c != '\t' && c != '\n')
            out += '\t';
        if (new_line && c == '\n') // an empty line would end the header
            continue;
        new_line = c == '\n';
        if (new_line)
            out += "\r\n";
        else
            out += c;
    }
    if (!out.ends_with("\r\n"))
        out += "\r\n";
    return out;
}

} // namespace filter
