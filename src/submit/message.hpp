// What emailrelay-submit puts into the spool: envelopes and headers, from its options and the header section
// of what it was given (spec/utilities.md sections 1.2 to 1.4). Pure.
#pragma once

#include "base/result.hpp"
#include "mail/envelope.hpp"
#include "submit/header_lines.hpp"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace submit {

struct request {
    std::optional<std::string> from{}; // may be given empty; else it comes from the header
    std::vector<std::string> to{};     // as written; when there are none they come from the header
    std::string authentication{};
    std::string mail_from_auth_in{};  // xtext
    std::string mail_from_auth_out{}; // xtext
    bool add_date = false;
    bool replace_originators = false; // --content-from
    bool replace_recipients = false;  // --content-to
    bool bcc_split = false;
    std::optional<std::string> message_id_domain{}; // adds a Message-ID
};

struct message {
    mail::envelope envelope;
    std::string header; // with the empty line behind it
};

// One message, several with --bcc-split. Errors have no code, their text is the spec's.
base::result<std::vector<message>> build_messages(const request& wanted, std::string_view header,
                                                  const stamp& when);

} // namespace submit
