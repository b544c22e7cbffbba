// The envelope of a message and its text form (spec/spool.md sections 4 to 6).
//
// Pure: text in, text out. Written always as "#2821.8" with CR-LF; read in all forms from "#2821.3" on.
#pragma once

#include "base/result.hpp"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mail {

enum class body_type { unknown, seven_bit, eight_bit, binary_mime };

struct envelope {
    body_type content = body_type::unknown;
    std::string from;                  // reverse-path without brackets; may be empty
    std::vector<std::string> to_local; // mailbox names, in order of acceptance
    std::vector<std::string>
        to_remote;                  // forward-paths without brackets, in order of acceptance, duplicates kept
    std::string authentication;     // SASL id or trust keyword, decoded (xtext in the file)
    std::string client;             // peer address without port, or socket path
    std::string client_certificate; // PEM with LF line ends, no final one; empty if none
    std::string mail_from_auth_in;  // xtext, normalised
    std::string mail_from_auth_out; // xtext, normalised
    std::string forward_to;         // decoded
    std::string forward_to_address;
    // Addresses to be tried, best first, if that one does not connect: a line of ours behind End, which names
    // that one too, and counts for nothing once somebody has put another one there.
    std::vector<std::string> next_best;
    std::string client_account_selector;
    bool utf8_mailboxes = false;

    bool operator==(const envelope&) const = default;
};

std::string format_envelope(const envelope& e);

struct parsed_envelope {
    envelope value;
    bool crlf = true;               // line ends of the file, decided by its first line
    std::vector<std::string> extra; // lines behind End, trailing white space trimmed, without line end
};

// Errors carry no code; their text is the spec's: "cannot read envelope file: unknown format id: #2821.9".
base::result<parsed_envelope> parse_envelope(std::string_view text);

// The two lines appended when a message fails, in the file's style of line ends. `reason` is escaped here.
std::string format_reason(std::string_view reason, std::optional<int> code, bool crlf);

// The whole file again, as #2821.8 with CR-LF, `extra` lines copied behind End.
std::string rewrite_envelope(const envelope& e, const std::vector<std::string>& extra);

// "BODY=" parameter of MAIL to body type: absent, empty or unknown gives unknown; case-insensitive.
body_type body_type_of(std::string_view body_parameter);

} // namespace mail
