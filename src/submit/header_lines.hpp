// Header lines that programs for submission make, and the addresses that they find in a header.
#pragma once

#include "base/calendar_time.hpp"
#include "base/result.hpp"
#include "mail/header_section.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace submit {

// What a message takes from its time and place.
struct stamp {
    base::calendar_time now;
    std::int64_t seconds = 0; // since 1970, UTC
    unsigned microseconds = 0;
    std::uint64_t process = 0;
};

// "Message-ID: <seconds.microseconds.process@domain>", with line end.
std::string message_id_line(const stamp& s, std::string_view domain);

// "To: a@b,c@d", with line end; folded only where it would exceed what RFC 5322 section 2.1.1 allows.
std::string to_line(const std::vector<std::string>& addresses);

// The address with an internationalised domain encoded.
std::string with_a_labels(std::string address);

// The mailboxes of all fields of that name, domains as A-labels. Error: "rfc-5322/6532 parsing error: invalid
// address-list: line N".
base::result<std::vector<std::string>> mailboxes_of(const mail::header_section& header,
                                                    std::string_view name);

// Of all fields of these names, field by field in the order of the names.
base::result<std::vector<std::string>> mailboxes_of(const mail::header_section& header,
                                                    std::initializer_list<std::string_view> names);

// Whether it can stand in an envelope: control characters would forge lines there.
bool has_control_characters(std::string_view text) noexcept;

// A domain, or anything else that can stand behind the "@" of a Message-ID.
bool can_be_message_id_domain(std::string_view text) noexcept;

} // namespace submit
