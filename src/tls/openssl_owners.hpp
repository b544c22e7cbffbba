// OpenSSL's objects, freed by their owners.
#pragma once

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <memory>

namespace tls {

template <auto Free>
struct freeing {
    template <class T>
    void operator()(T* p) const noexcept {
        Free(p);
    }
};

using bio_ptr = std::unique_ptr<BIO, freeing<BIO_free>>;
using key_ptr = std::unique_ptr<EVP_PKEY, freeing<EVP_PKEY_free>>;
using certificate_ptr = std::unique_ptr<X509, freeing<X509_free>>;
using name_ptr = std::unique_ptr<X509_NAME, freeing<X509_NAME_free>>;
using extension_ptr = std::unique_ptr<X509_EXTENSION, freeing<X509_EXTENSION_free>>;
using context_ptr = std::unique_ptr<SSL_CTX, freeing<SSL_CTX_free>>;
using session_ptr = std::unique_ptr<SSL, freeing<SSL_free>>;

} // namespace tls
