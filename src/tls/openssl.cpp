// The back-end on OpenSSL 3.
//
// The library reads from and writes to the engine's own queues through a BIO of ours, so nothing is copied
// into memory BIOs that would stay allocated; with released record buffers an idle session is small.
#include "tls/backend.hpp"
#include "tls/openssl_owners.hpp"

#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/objects.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

namespace tls {

namespace {

// Sessions kept for clients that resume without tickets.
constexpr long kept_sessions = 1000;

// What the library has to say, of this thread; the first reason is the cause.
std::string take_reason() {
    const unsigned long code = ERR_peek_error();
    const char* reason = code != 0 ? ERR_reason_error_string(code) : nullptr;
    std::string text = reason != nullptr ? reason : "unknown error";
    ERR_clear_error();
    return text;
}

bio_ptr reader_of(std::string_view text) {
    return bio_ptr(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

int no_passphrase(char*, int, int, void*) {
    return 0; // else the library would ask on the terminal
}

std::vector<certificate_ptr> read_certificates(std::string_view pem) {
    std::vector<certificate_ptr> out;
    const bio_ptr from = reader_of(pem);
    while (X509* one = PEM_read_bio_X509(from.get(), nullptr, no_passphrase, nullptr))
        out.emplace_back(one);
    ERR_clear_error(); // "no start line" at the end
    return out;
}

std::string to_pem(X509* certificate) {
    const bio_ptr to(BIO_new(BIO_s_mem()));
    PEM_write_bio_X509(to.get(), certificate);
    char* text = nullptr;
    const long size = BIO_get_mem_data(to.get(), &text);
    std::string out(text, static_cast<std::size_t>(std::max(size, 0L)));
    while (out.ends_with('\n'))
        out.pop_back();
    return out;
}

// "/C=DE/CN=x"
std::string subject_of(X509* certificate) {
    char* text = X509_NAME_oneline(X509_get_subject_name(certificate), nullptr, 0);
    std::string out = text != nullptr ? text : "";
    OPENSSL_free(text);
    return out;
}

bool has_exact_common_name(X509* certificate, const std::string& wanted) {
    X509_NAME* subject = X509_get_subject_name(certificate);
    for (int at = -1; (at = X509_NAME_get_index_by_NID(subject, NID_commonName, at)) >= 0;) {
        unsigned char* text = nullptr;
        const int size =
            ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
        const bool same = size >= 0 && wanted == std::string_view(reinterpret_cast<const char*>(text),
                                                                  static_cast<std::size_t>(size));
        OPENSSL_free(text);
        if (same)
            return true;
    }
    return false;
}

// Subject alternative names, or without any the common name; and an exact common name in any case
// (spec/tls.md section 2.3).
bool has_name(X509* certificate, const std::string& wanted) {
    return X509_check_host(certificate, wanted.data(), wanted.size(), X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS,
                           nullptr) == 1 ||
           has_exact_common_name(certificate, wanted);
}

// RFC 5929 section 4.1: by the hash of the certificate's signature, or SHA-256 in place of the weak ones.
std::string end_point_of(X509* certificate) {
    int digest = NID_undef;
    if (certificate == nullptr ||
        X509_get_signature_info(certificate, &digest, nullptr, nullptr, nullptr) != 1)
        return {};
    if (digest == NID_md5 || digest == NID_sha1)
        digest = NID_sha256;
    const EVP_MD* hash = EVP_get_digestbynid(digest);
    std::array<unsigned char, EVP_MAX_MD_SIZE> octets{};
    unsigned size = 0;
    if (hash == nullptr || X509_digest(certificate, hash, octets.data(), &size) != 1)
        return {};
    return {reinterpret_cast<const char*>(octets.data()), size};
}

// ---- the library's side of the engine's queues

class openssl_engine;
int read_for_library(BIO* bio, char* into, std::size_t size, std::size_t* got);
int write_of_library(BIO* bio, const char* bytes, std::size_t size, std::size_t* taken);
long control_by_library(BIO* bio, int command, long number, void* pointer);

const BIO_METHOD* queues() {
    static const BIO_METHOD* const method = [] {
        BIO_METHOD* m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "engine");
        BIO_meth_set_read_ex(m, read_for_library);
        BIO_meth_set_write_ex(m, write_of_library);
        BIO_meth_set_ctrl(m, control_by_library);
        return m;
    }();
    return method;
}

// ---- one reading of the files

class openssl_backend : public backend, public std::enable_shared_from_this<openssl_backend> {
public:
    openssl_backend(const settings& given, base::logger log) : given_(given), log_(std::move(log)) {}

    base::result<void> open(const material& from);
    std::unique_ptr<engine> begin() const override;
    bool check_name(X509* certificate) const;
    bool is_server() const noexcept { return given_.side == role::server; }
    bool verifies() const noexcept { return peer_check_of(given_) == peer_check::verify; }

private:
    void set_options();
    base::result<void> set_versions();
    base::result<void> use_certificate(const material& from);
    base::result<void> use_authorities(const std::string& pem);
    void set_peer_check();
    void set_resumption();

    const settings given_;
    const base::logger log_;
    context_ptr context_;
};

class openssl_engine : public engine {
public:
    openssl_engine(std::shared_ptr<const openssl_backend> of, session_ptr session)
        : backend_(std::move(of)), session_(std::move(session)) {
        BIO* bio = BIO_new(queues());
        BIO_set_data(bio, this);
        BIO_set_init(bio, 1);
        SSL_set_bio(session_.get(), bio, bio);
        SSL_set_app_data(session_.get(), this);
        if (backend_->is_server())
            SSL_set_accept_state(session_.get());
        else
            SSL_set_connect_state(session_.get());
    }

    base::result<bool> handshake() override {
        if (failed_)
            return base::error{{}, *failed_};
        ERR_clear_error();
        const int done = SSL_do_handshake(session_.get());
        if (done == 1)
            return true;
        if (SSL_get_error(session_.get(), done) == SSL_ERROR_WANT_READ)
            return false;
        return fail(backend_->is_server() ? "ssl accept" : "ssl connect");
    }

    base::tls_session session() override;

    base::result<std::size_t> read(std::span<char> into) override {
        if (failed_)
            return base::error{{}, *failed_};
        ERR_clear_error();
        std::size_t n = 0;
        if (SSL_read_ex(session_.get(), into.data(), into.size(), &n) == 1)
            return n;
        switch (SSL_get_error(session_.get(), 0)) {
        case SSL_ERROR_WANT_READ:
            return std::size_t{0};
        case SSL_ERROR_ZERO_RETURN:
            peer_closed_ = true;
            return std::size_t{0};
        default:
            return fail("ssl read");
        }
    }

    bool may_read() const noexcept override {
        return has_input() || failed_ || peer_closed_ || SSL_pending(session_.get()) > 0;
    }
    bool peer_closed() const noexcept override { return peer_closed_; }

    base::result<void> write(std::string_view plain) override {
        if (failed_)
            return base::error{{}, *failed_};
        ERR_clear_error();
        std::size_t written = 0;
        if (plain.empty() || SSL_write_ex(session_.get(), plain.data(), plain.size(), &written) == 1)
            return {};
        return fail("ssl write");
    }

    void close() override {
        if (failed_ || std::exchange(closed_, true))
            return;
        ERR_clear_error();
        SSL_shutdown(session_.get()); // 0: the peer's own notification is not waited for
        ERR_clear_error();
    }

    const openssl_backend& of() const noexcept { return *backend_; }
    std::size_t read_by_library(std::span<char> into) noexcept { return take_input(into); }
    void written_by_library(std::string_view bytes) { add_output(bytes); }

private:
    base::error fail(const char* what) {
        const long verdict = SSL_get_verify_result(session_.get());
        std::string reason = take_reason();
        if (verdict != X509_V_OK && backend_->verifies())
            reason += fmt::format(" ({})", X509_verify_cert_error_string(verdict));
        failed_ = fmt::format("{}: {}", what, reason);
        return {{}, *failed_};
    }

    std::shared_ptr<const openssl_backend> backend_;
    session_ptr session_;
    std::optional<std::string> failed_;
    bool peer_closed_ = false;
    bool closed_ = false;
};

base::tls_session openssl_engine::session() {
    SSL* s = session_.get();
    base::tls_session out;
    out.protocol = SSL_get_version(s);
    out.cipher = SSL_get_cipher_name(s);
    X509* peer = SSL_get0_peer_certificate(s);
    if (peer != nullptr) {
        out.peer_certificate = to_pem(peer);
        out.verified = backend_->verifies() && SSL_get_verify_result(s) == X509_V_OK;
    }
    out.server_end_point = end_point_of(backend_->is_server() ? SSL_get_certificate(s) : peer);
    if (SSL_version(s) == TLS1_3_VERSION) {
        constexpr std::string_view label = "EXPORTER-Channel-Binding";
        std::array<unsigned char, 32> octets{};
        if (SSL_export_keying_material(s, octets.data(), octets.size(), label.data(), label.size(), nullptr,
                                       0, 0) == 1)
            out.exporter.assign(reinterpret_cast<const char*>(octets.data()), octets.size());
    } else if (SSL_get_extms_support(s) == 1) { // without it the binding does not bind (RFC 7627)
        std::array<unsigned char, EVP_MAX_MD_SIZE> octets{};
        // The first Finished message: the client's, or when a session is resumed the server's.
        const bool ours = backend_->is_server() == (SSL_session_reused(s) == 1);
        const std::size_t size = ours ? SSL_get_finished(s, octets.data(), octets.size())
                                      : SSL_get_peer_finished(s, octets.data(), octets.size());
        out.unique.assign(reinterpret_cast<const char*>(octets.data()), size);
    }
    ERR_clear_error();
    return out;
}

int read_for_library(BIO* bio, char* into, std::size_t size, std::size_t* got) {
    BIO_clear_retry_flags(bio);
    *got = static_cast<openssl_engine*>(BIO_get_data(bio))->read_by_library({into, size});
    if (*got > 0)
        return 1;
    BIO_set_retry_read(bio);
    return 0;
}

int write_of_library(BIO* bio, const char* bytes, std::size_t size, std::size_t* taken) {
    BIO_clear_retry_flags(bio);
    static_cast<openssl_engine*>(BIO_get_data(bio))->written_by_library({bytes, size});
    *taken = size;
    return 1;
}

long control_by_library(BIO*, int command, long, void*) {
    return command == BIO_CTRL_FLUSH ? 1 : 0;
}

// The library has judged the chain up to here; the name is ours to judge, at the peer's own certificate.
int judge(int good, X509_STORE_CTX* chain) {
    auto* session =
        static_cast<SSL*>(X509_STORE_CTX_get_ex_data(chain, SSL_get_ex_data_X509_STORE_CTX_idx()));
    const openssl_backend& backend = static_cast<openssl_engine*>(SSL_get_app_data(session))->of();
    if (!backend.verifies()) {
        X509_STORE_CTX_set_error(chain, X509_V_OK);
        return 1;
    }
    if (good != 1 || X509_STORE_CTX_get_error_depth(chain) != 0)
        return good;
    if (backend.check_name(X509_STORE_CTX_get_current_cert(chain)))
        return 1;
    X509_STORE_CTX_set_error(chain, X509_V_ERR_HOSTNAME_MISMATCH);
    return 0;
}

int number_of(version v) {
    switch (v) {
    case version::ssl3:
        return 0; // the lowest that there is
    case version::tls1_0:
        return TLS1_VERSION;
    case version::tls1_1:
        return TLS1_1_VERSION;
    case version::tls1_2:
        return TLS1_2_VERSION;
    case version::tls1_3:
        return TLS1_3_VERSION;
    }
    return 0;
}

base::result<void> openssl_backend::open(const material& from) {
    ERR_clear_error();
    context_.reset(SSL_CTX_new(is_server() ? TLS_server_method() : TLS_client_method()));
    if (!context_)
        return file_error("SSL_CTX_new", take_reason(), "");
    set_options();
    if (auto done = set_versions(); done.has_error())
        return done;
    if (!from.key.empty() || !from.certificates.empty())
        if (auto done = use_certificate(from); done.has_error())
            return done;
    if (auto done = use_authorities(from.authorities); done.has_error())
        return done;
    set_peer_check();
    set_resumption();
    return {};
}

void openssl_backend::set_options() {
    SSL_CTX* c = context_.get();
    SSL_CTX_set_mode(c, SSL_MODE_RELEASE_BUFFERS);
    // Received plain text, which may be a password, does not stay behind in the library's buffers.
    SSL_CTX_set_options(c, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_CLEANSE_PLAINTEXT);
    if (given_.library.all_workarounds)
        SSL_CTX_set_options(c, SSL_OP_ALL);
    if (given_.library.server_preference)
        SSL_CTX_set_options(c, SSL_OP_CIPHER_SERVER_PREFERENCE);
    SSL_CTX_set_dh_auto(c, 1);
}

base::result<void> openssl_backend::set_versions() {
    SSL_CTX* c = context_.get();
    SSL_CTX_set_min_proto_version(c, number_of(given_.library.lowest));
    if (given_.library.highest)
        SSL_CTX_set_max_proto_version(c, number_of(*given_.library.highest));
    // Versions before 1.2 need signatures that the library's usual level forbids.
    if (given_.library.lowest < version::tls1_2 && SSL_CTX_set_cipher_list(c, "DEFAULT:@SECLEVEL=0") != 1)
        return file_error("SSL_CTX_set_cipher_list", take_reason(), "");
    return {};
}

base::result<void> openssl_backend::use_certificate(const material& from) {
    SSL_CTX* c = context_.get();
    const std::string& key_file = given_.certificate_files.front();
    const std::string& certificate_file = given_.certificate_files.back();
    const bio_ptr key_text = reader_of(from.key.view());
    const key_ptr key(PEM_read_bio_PrivateKey(key_text.get(), nullptr, no_passphrase, nullptr));
    if (!key || SSL_CTX_use_PrivateKey(c, key.get()) != 1)
        return file_error("SSL_CTX_use_PrivateKey_file", take_reason(), key_file);
    const auto certificates = read_certificates(from.certificates.view());
    if (certificates.empty())
        return file_error("SSL_CTX_use_certificate_chain_file", "no certificate", certificate_file);
    const auto own = std::find_if(certificates.begin(), certificates.end(), [&](const certificate_ptr& one) {
        return X509_check_private_key(one.get(), key.get()) == 1;
    });
    ERR_clear_error();
    if (own == certificates.end())
        return file_error("SSL_CTX_check_private_key", "no certificate belongs to the private key",
                          certificate_file);
    if (SSL_CTX_use_certificate(c, own->get()) != 1)
        return file_error("SSL_CTX_use_certificate", take_reason(), certificate_file);
    for (const certificate_ptr& one : certificates)
        if (one != *own && SSL_CTX_add1_chain_cert(c, one.get()) != 1)
            return file_error("SSL_CTX_add1_chain_cert", take_reason(), certificate_file);
    return {};
}

base::result<void> openssl_backend::use_authorities(const std::string& pem) {
    SSL_CTX* c = context_.get();
    switch (authority_source_of(given_)) {
    case authority_source::none:
        return {};
    case authority_source::system:
        if (SSL_CTX_set_default_verify_paths(c) != 1)
            return file_error("SSL_CTX_set_default_verify_paths", take_reason(), given_.verify);
        return {};
    case authority_source::directory:
        if (SSL_CTX_load_verify_dir(c, given_.verify.c_str()) != 1)
            return file_error("SSL_CTX_load_verify_dir", take_reason(), given_.verify);
        return {};
    case authority_source::file:
        break;
    }
    const auto authorities = read_certificates(pem);
    if (authorities.empty())
        return file_error("SSL_CTX_load_verify_file", "no certificate", given_.verify);
    for (const certificate_ptr& one : authorities) {
        X509_STORE_add_cert(SSL_CTX_get_cert_store(c), one.get());
        if (is_server()) // the names that clients choose a certificate by
            SSL_CTX_add_client_CA(c, one.get());
    }
    ERR_clear_error();
    return {};
}

void openssl_backend::set_peer_check() {
    int mode = SSL_VERIFY_NONE;
    if (peer_check_of(given_) == peer_check::ask)
        mode = SSL_VERIFY_PEER;
    if (peer_check_of(given_) == peer_check::verify)
        mode = SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
    SSL_CTX_set_verify(context_.get(), mode, mode == SSL_VERIFY_NONE ? nullptr : judge);
}

void openssl_backend::set_resumption() {
    SSL_CTX* c = context_.get();
    if (given_.library.no_tickets)
        SSL_CTX_set_options(c, SSL_OP_NO_TICKET);
    if (given_.library.no_resumption || !is_server()) {
        SSL_CTX_set_options(c, SSL_OP_NO_TICKET | SSL_OP_NO_SESSION_RESUMPTION_ON_RENEGOTIATION);
        SSL_CTX_set_session_cache_mode(c, SSL_SESS_CACHE_OFF);
        SSL_CTX_set_num_tickets(c, 0);
        return;
    }
    // Keys for tickets are made with the context and go with it, so after a change of certificates or
    // authorities nobody resumes.
    constexpr std::string_view name = "emailrelay";
    SSL_CTX_set_session_id_context(c, reinterpret_cast<const unsigned char*>(name.data()),
                                   static_cast<unsigned>(name.size()));
    SSL_CTX_set_session_cache_mode(c, SSL_SESS_CACHE_SERVER);
    SSL_CTX_sess_set_cache_size(c, kept_sessions);
    SSL_CTX_set_num_tickets(c, 1);
}

std::unique_ptr<engine> openssl_backend::begin() const {
    session_ptr session(SSL_new(context_.get()));
    if (!session)
        return nullptr;
    if (!is_server() && !given_.server_name.empty()) { // the library's macro for it has an old-style cast
        std::string name = given_.server_name;
        SSL_ctrl(session.get(), SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name, name.data());
    }
    return std::make_unique<openssl_engine>(shared_from_this(), std::move(session));
}

bool openssl_backend::check_name(X509* certificate) const {
    if (given_.verify_name.empty())
        return true;
    const bool good = has_name(certificate, given_.verify_name);
    log_name_check(log_, subject_of(certificate), given_.verify_name, good);
    return good;
}

} // namespace

base::result<std::shared_ptr<const backend>> open_openssl(const settings& given, const material& from,
                                                          const base::logger& log) {
    auto made = std::make_shared<openssl_backend>(given, log);
    if (auto opened = made->open(from); opened.has_error())
        return opened.error();
    return std::shared_ptr<const backend>(std::move(made));
}

std::string openssl_version() {
    return OpenSSL_version(OPENSSL_VERSION_STRING) != nullptr
               ? fmt::format("OpenSSL {}", OpenSSL_version(OPENSSL_VERSION_STRING))
               : "OpenSSL";
}

} // namespace tls
