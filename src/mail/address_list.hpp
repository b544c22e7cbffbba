// The mailboxes of an address list, as in To, Cc, Bcc and From (RFC 5322 section 3.4 with the obsolete forms
// of section 4.4, RFC 6532 for UTF-8).
//
// Groups, comments, folding, quoted strings, routes, and phrases with dots in them are understood. An address
// without a domain is one too: programs on the same machine write "To: root". Time is linear in the length of
// the text; comments in comments cost no stack.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mail {

struct address_list {
    // "local-part@domain" without comments and blanks, in order. The local part is quoted where it must be,
    // the domain as it was written.
    std::vector<std::string> mailboxes;
    // Where the text is no address list: line from 0. Then there are no mailboxes.
    std::optional<std::size_t> wrong_line;
};

// `text` is the body of a header field, behind the colon; it may be folded, with CR-LF or LF.
address_list parse_address_list(std::string_view text);

} // namespace mail
