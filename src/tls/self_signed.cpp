#include "tls/self_signed.hpp"

#include "base/text.hpp"
#include "tls/openssl_owners.hpp"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <memory>
#include <vector>

namespace tls {

namespace {

constexpr unsigned key_bits = 4096;
constexpr const char* not_before = "20200101000000Z";
constexpr const char* not_after = "20401231235959Z";

base::error library_error(const char* what) {
    const char* reason = ERR_reason_error_string(ERR_peek_last_error());
    return {{}, std::string(what) + ": " + (reason != nullptr ? reason : "unknown error")};
}

// At commas without a backslash in front.
std::vector<std::string> parts_of(std::string_view subject) {
    std::vector<std::string> out(1);
    for (std::size_t i = 0; i < subject.size(); ++i) {
        if (subject[i] == '\\' && i + 1 < subject.size())
            out.back() += subject[++i];
        else if (subject[i] == ',')
            out.emplace_back();
        else
            out.back() += subject[i];
    }
    return out;
}

base::result<name_ptr> parse_name(std::string_view subject) {
    name_ptr out(X509_NAME_new());
    for (const std::string& part : parts_of(subject)) {
        const std::size_t sign = part.find('=');
        const std::string type(base::trim(std::string_view(part).substr(0, sign)));
        const std::string value(sign == part.npos ? "" : base::trim(std::string_view(part).substr(sign + 1)));
        if (value.empty() || X509_NAME_add_entry_by_txt(out.get(), type.c_str(), MBSTRING_UTF8,
                                                        reinterpret_cast<const unsigned char*>(value.data()),
                                                        static_cast<int>(value.size()), -1, 0) != 1)
            return base::error{{}, "invalid subject: " + std::string(subject)};
    }
    return out;
}

bool add_extension(X509* to, int nid, const char* value) {
    X509V3_CTX context;
    X509V3_set_ctx(&context, to, to, nullptr, nullptr, 0);
    const extension_ptr one(X509V3_EXT_conf_nid(nullptr, &context, nid, value));
    return one && X509_add_ext(to, one.get(), -1) == 1;
}

} // namespace

base::result<std::string> make_self_signed(std::string_view subject) {
    auto name = parse_name(subject);
    if (name.has_error())
        return name.error();
    const key_ptr key(EVP_RSA_gen(key_bits));
    const certificate_ptr made(X509_new());
    if (!key || !made)
        return library_error("cannot make a key");
    X509* c = made.get();
    const bool filled =
        X509_set_version(c, X509_VERSION_3) == 1 && ASN1_INTEGER_set(X509_get_serialNumber(c), 1) == 1 &&
        ASN1_TIME_set_string(X509_getm_notBefore(c), not_before) == 1 &&
        ASN1_TIME_set_string(X509_getm_notAfter(c), not_after) == 1 &&
        X509_set_subject_name(c, name->get()) == 1 && X509_set_issuer_name(c, name->get()) == 1 &&
        X509_set_pubkey(c, key.get()) == 1 && add_extension(c, NID_basic_constraints, "CA:FALSE") &&
        add_extension(c, NID_subject_key_identifier, "hash") &&
        add_extension(c, NID_authority_key_identifier, "keyid:always") &&
        X509_sign(c, key.get(), EVP_sha256()) > 0;
    const bio_ptr to(BIO_new(BIO_s_mem()));
    if (!filled ||
        PEM_write_bio_PrivateKey(to.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr) != 1 ||
        PEM_write_bio_X509(to.get(), c) != 1)
        return library_error("cannot make a certificate");
    char* text = nullptr;
    const long size = BIO_get_mem_data(to.get(), &text);
    return std::string(text, static_cast<std::size_t>(size));
}

} // namespace tls
