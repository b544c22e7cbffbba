// The command lines of SMTP taken apart: verb and argument, the paths of MAIL and RCPT, the parameters of
// MAIL (spec/smtp-server.md sections 2, 5.1, 5.2; RFC 5321 section 4.1.2).
//
// Pure functions over views: what they return points into the line. More is accepted than the RFC's grammar
// has, and exactly what the spec lists is refused.
#pragma once

#include "base/text.hpp"

#include <cstdint>
#include <optional>
#include <string_view>

namespace smtp {

enum class verb {
    unknown,
    auth,
    bdat,
    data,
    ehlo,
    expn,
    helo,
    help,
    mail,
    noop,
    quit,
    rcpt,
    rset,
    starttls,
    vrfy,
};

struct command {
    verb what = verb::unknown;
    std::string_view word;     // the verb as it was written
    std::string_view argument; // the rest, without the blanks in front of it
};

// `line` is without its CR-LF.
command parse_command(std::string_view line) noexcept;

struct path {
    enum class fault {
        none,
        no_keyword,   // neither FROM: nor TO:
        no_brackets,  // an address, but not in brackets
        no_address,   // nothing, or a bracket that is not closed
        text_behind,  // something other than a blank behind the closing bracket
        quoting,      // the quoted local part does not end
        source_route, // no address behind the source route
        character,    // control character, broken UTF-8, "@" at an end
    };
    fault wrong = fault::none;
    std::string_view address;    // without brackets and source route; may be empty
    std::string_view parameters; // what follows, for parse_mail_parameters()
};

// `keyword` is "FROM:" or "TO:". Without `brackets_required` an address may also be the next word.
path parse_path(std::string_view argument, std::string_view keyword, bool brackets_required) noexcept;

// The text for replies; not for no_keyword, which each command words in its own way.
std::string_view describe(path::fault wrong) noexcept;

// The parts of an address: the last "@" divides, a quoted local part may have more of them.
std::string_view mailbox_part(std::string_view address) noexcept;
std::string_view domain_part(std::string_view address) noexcept;

struct mail_parameters {
    std::optional<std::uint64_t> size; // absent when it is not a number
    bool size_overflow = false;        // a number beyond 64 bits
    std::string_view body;
    std::string_view auth; // xtext as it was written
    bool smtputf8 = false;
    bool malformed = false; // SMTPUTF8 with a value
};

mail_parameters parse_mail_parameters(std::string_view text) noexcept;

struct chunk_argument {
    std::optional<std::uint64_t> size; // absent when it is not a number
    bool last = false;
};

// The argument of BDAT (RFC 3030 section 2).
chunk_argument parse_chunk_argument(std::string_view argument) noexcept;

} // namespace smtp
