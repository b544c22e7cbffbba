// The header of a message, whoever wrote it, and fields as a milter hears and gives them.
//
// Oracles: what is not changed is written back octet by octet; a field put in is one field, and the others
// stay as they were.
#include "filter/milter_header.hpp"
#include "mail/header_section.hpp"
#include "support.hpp"

#include <cstdint>
#include <string>
#include <string_view>

namespace {

// Of a text that is whole lines.
std::size_t count_fields(const std::string& text) {
    return mail::header_section(text).fields().size();
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string text(data, data + size);
    const mail::message_header header = mail::read_header(text);
    require(header.size <= text.size(), "more than there is");
    require(header.section.text() + header.separator == text.substr(0, header.size), "not as it was");
    require(header.separator.empty() || header.separator == "\r\n" || header.separator == "\n", "separator");

    for (const mail::header_field& field : header.section.fields()) {
        require(!field.name().empty(), "a field without a name");
        require(header.section.has(field.name()), "a field that is not there");
        const filter::milter_field heard = filter::field_for_milter(field);
        const std::string again = filter::field_in_message(heard);
        require(again.ends_with("\r\n") && count_fields(again) == 1, "became more than one field");
    }

    const std::string made = filter::field_in_message({"X-Made", text});
    require(count_fields(made) == 1, "a value became a field");
    require(mail::read_header(made + "\r\nbody").section.fields().size() == 1, "a value became a body");
    mail::header_section changed = header.section;
    changed.insert(size % 3, made);
    require(changed.fields().size() == header.section.fields().size() + 1, "one more");
    changed.remove({"X-Made"});
    require(!changed.has("X-Made"), "still there");
    return 0;
}
