#include "tls/certificate_facts.hpp"

#include "os/identity.hpp"
#include "os/process.hpp"
#include "tls/openssl_owners.hpp"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <fmt/format.h>

#include <ctime>
#include <utility>

namespace tls {

namespace {

struct contents {
    key_ptr key;
    std::vector<certificate_ptr> certificates;
};

bio_ptr reader_of(std::string_view text) {
    return bio_ptr(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

// Nobody is asked for a password.
int no_password(char*, int, int, void*) {
    return -1;
}

void read_into(contents& found, std::string_view text) {
    const bio_ptr keys = reader_of(text);
    if (!found.key)
        found.key.reset(PEM_read_bio_PrivateKey(keys.get(), nullptr, no_password, nullptr));
    const bio_ptr certificates = reader_of(text);
    while (X509* one = PEM_read_bio_X509(certificates.get(), nullptr, no_password, nullptr))
        found.certificates.emplace_back(one);
    ERR_clear_error(); // the end of the file is one
}

std::string text_of(const ASN1_TIME* time) {
    std::tm t{};
    if (ASN1_TIME_to_tm(time, &t) != 1)
        return "?";
    return fmt::format("{:04}-{:02}-{:02} {:02}:{:02}:{:02} UTC", t.tm_year + 1900, t.tm_mon + 1, t.tm_mday,
                       t.tm_hour, t.tm_min, t.tm_sec);
}

std::string subject_of(X509* certificate) {
    char* text = X509_NAME_oneline(X509_get_subject_name(certificate), nullptr, 0);
    std::string out = text != nullptr ? text : "";
    OPENSSL_free(text);
    return out;
}

} // namespace

base::result<certificate_facts> facts_of_certificate(const std::vector<std::string>& files) {
    contents found;
    for (const std::string& file : files) {
        os::root_scope as_root;
        auto text = os::read_secret_file(file);
        if (text.has_error())
            return text.error();
        read_into(found, text->view());
    }
    if (found.certificates.empty())
        return base::error{{}, "no certificate"};
    X509* own = found.certificates.front().get();
    for (const certificate_ptr& one : found.certificates)
        if (found.key && X509_check_private_key(one.get(), found.key.get()) == 1)
            own = one.get();
    ERR_clear_error();
    const ASN1_TIME* end = X509_get0_notAfter(own);
    return certificate_facts{subject_of(own), text_of(end), X509_cmp_current_time(end) < 0};
}

} // namespace tls
