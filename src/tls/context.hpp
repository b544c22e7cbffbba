// What the TLS sessions of one side share: keys, certificates, authorities, versions (spec/tls.md sections 2
// and 5).
//
// Made at start, where a mistake in the files is an error. Later the files are looked at again, not more than
// once a second and only when a session begins; changed ones are read again, and if they are no good the old
// ones stay in use with a warning. Sessions keep what they began with. Thread-safe.
#pragma once

#include "base/log.hpp"
#include "base/result.hpp"
#include "tls/engine.hpp"

#include <memory>
#include <string>
#include <vector>

namespace tls {

enum class role { server, client };
enum class library { openssl, mbedtls };
// Lowest first; ssl3 stands for the lowest that the library has.
enum class version { ssl3, tls1_0, tls1_1, tls1_2, tls1_3 };

struct library_settings; // tls/library_settings.hpp

// --server-tls-... or --client-tls-... as given; paths are absolute.
struct settings {
    role side = role::server;
    std::vector<std::string> certificate_files; // none; one with everything; or key, certificates
    std::string verify;                         // file, directory, "<default>", "<none>"; empty: not given
    std::string verify_name;                    // client: name that the server's certificate must have
    std::string server_name;                    // client: sent as SNI
};

class context {
public:
    virtual ~context() = default;

    // A new session, with files looked at first. [blocks]
    virtual std::unique_ptr<engine> begin() = 0;
};

} // namespace tls
