// The Received line put in front of a message (spec/smtp-server.md section 5.7, RFC 5321 section 4.4).
#pragma once

#include "base/calendar_time.hpp"

#include <string>
#include <string_view>

namespace mail {

struct trace {
    std::string_view helo;    // as given by the peer, made printable here; empty: the address stands there
    std::string_view address; // peer address without port, or "/" for a unix-domain peer
    std::string_view domain;  // our name
    bool tls = false;
    std::string_view tls_cipher; // as the library names it
    bool authenticated = false;
};

// One unfolded line with its CR-LF.
std::string received_line(const trace& t, const base::calendar_time& now);

} // namespace mail
