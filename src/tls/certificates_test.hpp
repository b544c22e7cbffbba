// Keys and certificates for the tests, made when they run: nothing that could expire is kept.
#pragma once

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <memory>
#include <string>

namespace tls::testing {

struct identity {
    std::string key;         // PEM
    std::string certificate; // PEM
};

class authority {
public:
    explicit authority(const std::string& name = "Test CA") : key_(make_key()) {
        certificate_ = make(name, "", key_, name, key_, 3600, true);
    }
    ~authority() {
        EVP_PKEY_free(key_);
        X509_free(certificate_);
    }
    authority(const authority&) = delete;
    authority& operator=(const authority&) = delete;

    std::string certificate() const { return pem(certificate_); }

    // `alternatives` as for openssl's subjectAltName; a negative time has passed already.
    identity issue(const std::string& name, const std::string& alternatives = "", long seconds = 3600) const {
        EVP_PKEY* key = make_key();
        X509* made = make(name, alternatives, key, issuer_name(), key_, seconds, false);
        identity out{pem(key), pem(made)};
        X509_free(made);
        EVP_PKEY_free(key);
        return out;
    }

private:
    // EC keys: quick to make.
    static EVP_PKEY* make_key() { return EVP_EC_gen("P-256"); }

    std::string issuer_name() const {
        char text[100] = "";
        X509_NAME_get_text_by_NID(X509_get_subject_name(certificate_), NID_commonName, text, sizeof text);
        return text;
    }

    static void add(X509* to, int nid, const std::string& value) {
        X509_EXTENSION* one = X509V3_EXT_conf_nid(nullptr, nullptr, nid, value.c_str());
        X509_add_ext(to, one, -1);
        X509_EXTENSION_free(one);
    }

    static X509_NAME* name_of(const std::string& name) {
        X509_NAME* out = X509_NAME_new();
        X509_NAME_add_entry_by_txt(out, "CN", MBSTRING_UTF8,
                                   reinterpret_cast<const unsigned char*>(name.c_str()), -1, -1, 0);
        return out;
    }

    static X509* make(const std::string& name, const std::string& alternatives, EVP_PKEY* key,
                      const std::string& issuer, EVP_PKEY* signer, long seconds, bool is_authority) {
        static long serial = 1;
        X509* out = X509_new();
        X509_set_version(out, X509_VERSION_3);
        ASN1_INTEGER_set(X509_get_serialNumber(out), ++serial);
        X509_gmtime_adj(X509_getm_notBefore(out), -7200);
        X509_gmtime_adj(X509_getm_notAfter(out), seconds);
        X509_NAME* subject = name_of(name);
        X509_NAME* by = name_of(issuer);
        X509_set_subject_name(out, subject);
        X509_set_issuer_name(out, by);
        X509_NAME_free(subject);
        X509_NAME_free(by);
        X509_set_pubkey(out, key);
        add(out, NID_basic_constraints, is_authority ? "critical,CA:TRUE" : "CA:FALSE");
        if (!alternatives.empty())
            add(out, NID_subject_alt_name, alternatives);
        X509_sign(out, signer, EVP_sha256());
        return out;
    }

    static std::string pem(X509* certificate) {
        return text([&](BIO* to) { PEM_write_bio_X509(to, certificate); });
    }
    static std::string pem(EVP_PKEY* key) {
        return text(
            [&](BIO* to) { PEM_write_bio_PrivateKey(to, key, nullptr, nullptr, 0, nullptr, nullptr); });
    }
    template <class Write>
    static std::string text(Write write) {
        BIO* to = BIO_new(BIO_s_mem());
        write(to);
        char* begin = nullptr;
        const long size = BIO_get_mem_data(to, &begin);
        std::string out(begin, static_cast<std::size_t>(size));
        BIO_free(to);
        return out;
    }

    EVP_PKEY* key_;
    X509* certificate_ = nullptr;
};

} // namespace tls::testing
