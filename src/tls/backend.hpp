// What a TLS library has to provide. One backend is one reading of the files: immutable and thread-safe, kept
// alive by the sessions that began with it.
#pragma once

#include "base/log.hpp"
#include "base/result.hpp"
#include "base/secret_text.hpp"
#include "tls/context.hpp"
#include "tls/engine.hpp"

#include <memory>
#include <string>
#include <string_view>

namespace tls {

// The files' content, in PEM.
struct material {
    base::secret_text key;          // empty: none
    base::secret_text certificates; // the key's is the one that fits it; the key may be in here too
    std::string authorities;        // of --...-tls-verify=<file>
};

enum class peer_check {
    none,  // no certificate is asked for
    ask,   // asked for, recorded, not checked
    verify // must be there and good
};

peer_check peer_check_of(const settings& given) noexcept;

// Where the authorities of settings::verify come from.
enum class authority_source { none, file, directory, system };
authority_source authority_source_of(const settings& given);

class backend {
public:
    virtual ~backend() = default;
    virtual std::unique_ptr<engine> begin() const = 0; // null when memory is short
};

// An error's text: "tls error: SSL_CTX_use_PrivateKey: [key values mismatch]: file=[/etc/key.pem]".
base::error file_error(std::string_view call, std::string_view reason, std::string_view file);

base::result<std::shared_ptr<const backend>> open_openssl(const settings& given, const material& from,
                                                          const base::logger& log);
base::result<std::shared_ptr<const backend>> open_mbedtls(const settings& given, const material& from,
                                                          const base::logger& log);
std::string openssl_version();
std::string mbedtls_version();

// "tls: certificate-subject=[/CN=x] required-peer-name=[y] ok=0"
void log_name_check(const base::logger& log, std::string_view subject, std::string_view wanted, bool good);

} // namespace tls
