// What both sides of SMTP say of TLS to their drivers (spec/tls.md section 1; RFC 3207, RFC 8314).
#pragma once

namespace smtp {

enum class tls_mode { none, starttls, implicit };

// An action of both engines: write take_output(), then do the handshake. Octets that were read in clear and
// not yet fed are to be dropped. Answer: tls_established() or tls_failed().
struct start_tls {};

} // namespace smtp
