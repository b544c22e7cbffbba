// What the log says of TLS, on every side (spec/tls.md section 3).
#pragma once

#include "base/log.hpp"
#include "base/result.hpp"
#include "base/text.hpp"
#include "base/tls_session.hpp"

#include <string_view>

namespace relay {

inline void log_tls_established(const base::logger& log, std::string_view peer,
                                const base::tls_session& session) {
    log.verbose("tls protocol established with {} protocol {} cipher {}", peer, session.protocol,
                session.cipher);
}

// The handshake has failed, or what came later was not as it should be.
inline void log_tls_error(const base::logger& log, const base::error& why) {
    log.warning("tls: tls error: {}", base::printable(why.what));
}

} // namespace relay
