// What the TLS sessions of one side share: keys, certificates, authorities, versions (spec/tls.md sections 2
// and 5).
//
// Made at start, where a mistake in the files is an error. Later the files are looked at again, not more than
// once a second and only when a session begins; changed ones are read again, and if they are no good the old
// ones stay in use with a warning. Sessions keep what they began with. Files are read with the privilege that
// the process was started with. Thread-safe.
#pragma once

#include "base/log.hpp"
#include "base/result.hpp"
#include "tls/engine.hpp"
#include "tls/library_settings.hpp"

#include <memory>
#include <string>
#include <vector>

namespace tls {

enum class role { server, client };

// --server-tls-... or --client-tls-... as given; paths are absolute.
struct settings {
    role side = role::server;
    std::vector<std::string> certificate_files{}; // none; one with everything; or key, certificates
    std::string verify{};                         // file, directory, "<default>", "<none>"; empty: not given
    std::string verify_name{};                    // client: name that the server's certificate must have
    std::string server_name{};                    // client: sent as SNI
    library_settings library{};
};

class context {
public:
    virtual ~context() = default;

    // A new session, with files looked at first; null when memory is short. [blocks]
    virtual std::unique_ptr<engine> begin() = 0;
};

// [blocks] Errors are whole texts, "tls error: <call>: [<reason>]: file=[<file>]"; a file that cannot be
// opened is also warned of.
base::result<std::unique_ptr<context>> make_context(settings given, base::logger log);

// Names and versions of the libraries built in: "OpenSSL 3.0.11, mbed TLS 2.28.3".
std::string libraries();

} // namespace tls
