// --tls-config: which library, which protocol versions, and a few switches (spec/tls.md section 5). Pure.
//
// Keywords of one library are accepted silently when the other one is used.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace tls {

enum class library { openssl, mbedtls };

// Lowest first; ssl3 stands for the lowest that the library has.
enum class version { ssl3, tls1_0, tls1_1, tls1_2, tls1_3 };

struct library_settings {
    library which = library::openssl;
    version lowest = version::tls1_2;
    std::optional<version> highest;
    bool no_verify = false; // without --...-tls-verify the peer is not even asked for a certificate
    // OpenSSL
    bool all_workarounds = false;
    bool no_tickets = false;
    bool no_resumption = false;
    bool server_preference = false;
    // Mbed TLS
    bool noisy = false; // its debugging text goes into the log
};

struct read_settings {
    library_settings settings;
    std::vector<std::string> unknown; // for a warning; empty with "ignoreextra"
};

read_settings read_library_settings(const std::vector<std::string>& keywords);

} // namespace tls
