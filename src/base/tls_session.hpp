// What is known of a TLS session once its handshake has succeeded: told by the back-ends (tls/engine.hpp),
// used by the protocol engines for traces, envelopes, logs and channel binding.
#pragma once

#include <string>

namespace base {

struct tls_session {
    std::string protocol;         // "TLSv1.2", "TLSv1.3"
    std::string cipher;           // as the library names it: "TLS_AES_256_GCM_SHA384"
    std::string peer_certificate; // PEM with LF line ends, without a final one; empty if none was sent
    bool verified = false;        // the peer's certificate was checked and found good

    // Channel bindings, raw octets; empty where the protocol version or the library has none.
    std::string server_end_point; // "tls-server-end-point", RFC 5929 section 4
    std::string exporter;         // "tls-exporter", RFC 9266
    std::string unique;           // "tls-unique", RFC 5929 section 3: TLS 1.2 only
};

} // namespace base
