#include "submit/header_lines.hpp"

#include "mail/address_list.hpp"
#include "mail/idn.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

namespace submit {

std::string with_a_labels(std::string address) {
    const std::size_t at = address.rfind('@');
    if (at == address.npos || address.ends_with('"')) // a quoted local part alone
        return address;
    if (const auto domain = mail::to_a_labels(std::string_view(address).substr(at + 1)))
        address.replace(at + 1, address.npos, *domain);
    return address;
}

std::string message_id_line(const stamp& s, std::string_view domain) {
    return fmt::format("Message-ID: <{}.{}.{}@{}>\r\n", s.seconds, s.microseconds, s.process, domain);
}

std::string to_line(const std::vector<std::string>& addresses) {
    constexpr std::size_t longest = 998;
    std::string line = "To: ";
    std::size_t begin = 0; // of the physical line
    for (const std::string& address : addresses) {
        const bool first = &address == &addresses.front();
        if (!first)
            line += ',';
        if (!first && line.size() - begin + address.size() + 1 > longest) {
            line += "\r\n ";
            begin = line.size() - 1;
        }
        line += address;
    }
    return line += "\r\n";
}

base::result<std::vector<std::string>> mailboxes_of(const mail::header_section& header,
                                                    std::string_view name) {
    std::vector<std::string> found;
    for (const mail::header_field* field : header.all(name)) {
        mail::address_list list = mail::parse_address_list(field->body());
        if (list.wrong_line)
            return base::error{{},
                               fmt::format("rfc-5322/6532 parsing error: invalid address-list: line {}",
                                           field->line + *list.wrong_line)};
        std::transform(list.mailboxes.begin(), list.mailboxes.end(), std::back_inserter(found),
                       with_a_labels);
    }
    return found;
}

base::result<std::vector<std::string>> mailboxes_of(const mail::header_section& header,
                                                    std::initializer_list<std::string_view> names) {
    std::vector<std::string> all;
    for (const std::string_view name : names) {
        auto found = mailboxes_of(header, name);
        if (found.has_error())
            return found;
        std::move(found->begin(), found->end(), std::back_inserter(all));
    }
    return all;
}

bool has_control_characters(std::string_view text) noexcept {
    return std::any_of(text.begin(), text.end(), [](char c) {
        const auto octet = static_cast<unsigned char>(c);
        return octet < ' ' || octet == 0x7f;
    });
}

bool can_be_message_id_domain(std::string_view text) noexcept {
    return !text.empty() && !has_control_characters(text) && text.find_first_of(" <>@") == text.npos;
}

} // namespace submit
