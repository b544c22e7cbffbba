// The back-end on Mbed TLS 2.28, which speaks TLS 1.2 at most. Debian builds it with its own locking, so
// keys, random numbers and tickets may be used by several threads.
//
// Names are judged here by the same rules as with OpenSSL; the library's own check is tied to SNI and is put
// aside.
#include "tls/backend.hpp"

#include "base/text.hpp"

#include <mbedtls/ctr_drbg.h>
#include <mbedtls/debug.h>
#include <mbedtls/ecp.h>
#include <mbedtls/entropy.h>
#include <mbedtls/error.h>
#include <mbedtls/md.h>
#include <mbedtls/oid.h>
#include <mbedtls/pem.h>
#include <mbedtls/pk.h>
#include <mbedtls/ssl.h>
#include <mbedtls/ssl_cache.h>
#include <mbedtls/ssl_internal.h> // what a handshake has agreed on is told nowhere else
#include <mbedtls/ssl_ticket.h>
#include <mbedtls/version.h>
#include <mbedtls/x509_crt.h>

#include <algorithm>
#include <array>
#include <mutex>
#include <utility>
#include <vector>

namespace tls {

namespace {

constexpr const char* system_authorities = "/etc/ssl/certs/ca-certificates.crt";
constexpr std::uint32_t ticket_seconds = 24 * 3600;
constexpr int kept_sessions = 1000; // for clients that resume without tickets

constexpr unsigned smallest_group = 250; // X25519 has 253 bits
constexpr unsigned smallest_prime = 2048;

// States and errors; from the next level on the library shows keys.
constexpr int debug_threshold = 2;

template <class T, void (*Init)(T*), void (*Free)(T*)>
class owned {
public:
    owned() { Init(&value_); }
    ~owned() { Free(&value_); }
    owned(const owned&) = delete;
    owned& operator=(const owned&) = delete;
    T* get() noexcept { return &value_; }
    T* operator->() noexcept { return &value_; }

private:
    T value_{};
};

using certificates = owned<mbedtls_x509_crt, mbedtls_x509_crt_init, mbedtls_x509_crt_free>;
using private_key = owned<mbedtls_pk_context, mbedtls_pk_init, mbedtls_pk_free>;
using random_source = owned<mbedtls_ctr_drbg_context, mbedtls_ctr_drbg_init, mbedtls_ctr_drbg_free>;
using entropy_source = owned<mbedtls_entropy_context, mbedtls_entropy_init, mbedtls_entropy_free>;
using configuration = owned<mbedtls_ssl_config, mbedtls_ssl_config_init, mbedtls_ssl_config_free>;
using session_cache = owned<mbedtls_ssl_cache_context, mbedtls_ssl_cache_init, mbedtls_ssl_cache_free>;
using ticket_keys = owned<mbedtls_ssl_ticket_context, mbedtls_ssl_ticket_init, mbedtls_ssl_ticket_free>;
using ssl_session = owned<mbedtls_ssl_context, mbedtls_ssl_init, mbedtls_ssl_free>;

std::string reason_of(int error) {
    std::array<char, 200> text{};
    mbedtls_strerror(error, text.data(), text.size());
    return text.data();
}

const unsigned char* octets(std::string_view text) {
    return reinterpret_cast<const unsigned char*>(text.data());
}

// The library's PEM functions want a NUL at the end, and want it counted.
base::secret_text with_nul(std::string_view pem) {
    base::secret_text text(pem);
    text.append(1, '\0');
    return text;
}

std::string_view text_of(const mbedtls_asn1_buf& value) {
    return {reinterpret_cast<const char*>(value.p), value.len};
}

// One left-most label may be a wildcard (RFC 6125 section 6.4.3).
bool matches(std::string_view pattern, std::string_view name) {
    if (base::iequals(pattern, name))
        return true;
    const std::size_t dot = name.find('.');
    if (!pattern.starts_with("*.") || dot == 0 || dot == std::string_view::npos)
        return false;
    const std::string_view domain = pattern.substr(1);
    return domain.find('.', 1) != std::string_view::npos && base::iequals(domain, name.substr(dot));
}

bool has_name(const mbedtls_x509_crt& certificate, std::string_view wanted) {
    constexpr int dns_name = MBEDTLS_ASN1_CONTEXT_SPECIFIC | 2;
    bool has_alternatives = false;
    for (const mbedtls_x509_sequence* at = &certificate.subject_alt_names; at != nullptr; at = at->next) {
        if (at->buf.tag != dns_name)
            continue;
        has_alternatives = true;
        if (matches(text_of(at->buf), wanted))
            return true;
    }
    for (const mbedtls_x509_name* at = &certificate.subject; at != nullptr; at = at->next) {
        if (MBEDTLS_OID_CMP(MBEDTLS_OID_AT_CN, &at->oid) != 0)
            continue;
        const std::string_view common_name = text_of(at->val);
        if (common_name == wanted || (!has_alternatives && matches(common_name, wanted)))
            return true;
    }
    return false;
}

std::string subject_of(const mbedtls_x509_crt& certificate) {
    std::array<char, 1000> text{};
    if (mbedtls_x509_dn_gets(text.data(), text.size(), &certificate.subject) < 0)
        return {};
    return "/" + std::string(text.data());
}

std::string to_pem(const mbedtls_x509_crt& certificate) {
    std::string out(certificate.raw.len * 2 + 200, '\0');
    std::size_t size = 0;
    if (mbedtls_pem_write_buffer("-----BEGIN CERTIFICATE-----\n", "-----END CERTIFICATE-----\n",
                                 certificate.raw.p, certificate.raw.len,
                                 reinterpret_cast<unsigned char*>(out.data()), out.size(), &size) != 0)
        return {};
    out.resize(size);
    while (out.ends_with('\0') || out.ends_with('\n'))
        out.pop_back();
    return out;
}

// RFC 5929 section 4.1.
std::string end_point_of(const mbedtls_x509_crt* certificate) {
    if (certificate == nullptr)
        return {};
    mbedtls_md_type_t digest = certificate->sig_md;
    if (digest == MBEDTLS_MD_MD5 || digest == MBEDTLS_MD_SHA1)
        digest = MBEDTLS_MD_SHA256;
    const mbedtls_md_info_t* hash = mbedtls_md_info_from_type(digest);
    std::array<unsigned char, MBEDTLS_MD_MAX_SIZE> out{};
    if (hash == nullptr || mbedtls_md(hash, certificate->raw.p, certificate->raw.len, out.data()) != 0)
        return {};
    return {reinterpret_cast<const char*>(out.data()), mbedtls_md_get_size(hash)};
}

int number_of(version v) {
    switch (v) {
    case version::ssl3: // not built into the library
    case version::tls1_0:
        return MBEDTLS_SSL_MINOR_VERSION_1;
    case version::tls1_1:
        return MBEDTLS_SSL_MINOR_VERSION_2;
    case version::tls1_2:
    case version::tls1_3:
        break;
    }
    return MBEDTLS_SSL_MINOR_VERSION_3;
}

// ---- one reading of the files

class mbedtls_backend : public backend, public std::enable_shared_from_this<mbedtls_backend> {
public:
    mbedtls_backend(const settings& given, base::logger log) : given_(given), log_(std::move(log)) {}

    base::result<void> open(const material& from);
    std::unique_ptr<engine> begin() const override;

    bool is_server() const noexcept { return given_.side == role::server; }
    bool verifies() const noexcept { return peer_check_of(given_) == peer_check::verify; }
    const std::string& server_name() const noexcept { return given_.server_name; }
    // No version is left that both the library and the settings allow.
    bool impossible() const noexcept {
        return given_.library.lowest == version::tls1_3 ||
               (given_.library.highest && *given_.library.highest < given_.library.lowest);
    }
    const mbedtls_ssl_config* configured() const noexcept { return configuration_->get(); }
    const mbedtls_x509_crt* own_certificate() const noexcept {
        return own_->get()->raw.p != nullptr ? own_->get() : nullptr;
    }

private:
    base::result<void> use_certificate(const material& from);
    base::result<void> use_authorities(const std::string& pem);
    void choose_ciphers();
    void choose_groups();
    base::result<void> set_resumption();
    static int judge(void* self, mbedtls_x509_crt* certificate, int depth, std::uint32_t* flags);
    static void debug(void* self, int level, const char* file, int line, const char* text);

    const settings given_;
    const base::logger log_;
    // In the order of use: what stands later refers to what stands before.
    std::unique_ptr<entropy_source> entropy_ = std::make_unique<entropy_source>();
    std::unique_ptr<random_source> random_ = std::make_unique<random_source>();
    std::unique_ptr<private_key> key_ = std::make_unique<private_key>();
    std::unique_ptr<certificates> own_ = std::make_unique<certificates>();
    std::unique_ptr<certificates> authorities_ = std::make_unique<certificates>();
    std::unique_ptr<session_cache> cache_ = std::make_unique<session_cache>();
    std::unique_ptr<ticket_keys> tickets_ = std::make_unique<ticket_keys>();
    std::vector<int> ciphers_;
    std::vector<mbedtls_ecp_group_id> groups_;
    std::unique_ptr<configuration> configuration_ = std::make_unique<configuration>();
};

class mbedtls_engine : public engine {
public:
    explicit mbedtls_engine(std::shared_ptr<const mbedtls_backend> of) : backend_(std::move(of)) {}

    bool open() {
        if (mbedtls_ssl_setup(session_.get(), backend_->configured()) != 0)
            return false;
        mbedtls_ssl_set_bio(session_.get(), this, send, receive, nullptr);
        const std::string& name = backend_->server_name();
        return name.empty() || mbedtls_ssl_set_hostname(session_.get(), name.c_str()) == 0;
    }

    base::result<bool> handshake() override {
        if (failed_)
            return base::error{{}, *failed_};
        const char* what = backend_->is_server() ? "ssl accept" : "ssl connect";
        if (backend_->impossible())
            return fail(what, "no protocol version is left");
        while (session_->state != MBEDTLS_SSL_HANDSHAKE_OVER) {
            const auto* agreed = session_->handshake; // gone after the last step
            own_secret_ = agreed != nullptr && agreed->extended_ms != 0 && agreed->resume == 0;
            const int done = mbedtls_ssl_handshake_step(session_.get());
            if (done == MBEDTLS_ERR_SSL_WANT_READ)
                return false;
            if (done != 0)
                return fail(what, why(done));
        }
        return true;
    }

    base::tls_session session() override {
        base::tls_session out;
        out.protocol = mbedtls_ssl_get_version(session_.get());
        out.cipher = mbedtls_ssl_get_ciphersuite(session_.get());
        const mbedtls_x509_crt* peer = mbedtls_ssl_get_peer_cert(session_.get());
        if (peer != nullptr) {
            out.peer_certificate = to_pem(*peer);
            out.verified = backend_->verifies() && mbedtls_ssl_get_verify_result(session_.get()) == 0;
        }
        out.server_end_point = end_point_of(backend_->is_server() ? backend_->own_certificate() : peer);
        if (own_secret_) { // the client's Finished message, the first one
            const char* data = backend_->is_server() ? session_->peer_verify_data : session_->own_verify_data;
            out.unique.assign(data, session_->verify_data_len);
        }
        return out;
    }

    base::result<std::size_t> read(std::span<char> into) override {
        if (failed_)
            return base::error{{}, *failed_};
        if (into.empty() || peer_closed_)
            return std::size_t{0};
        const int n =
            mbedtls_ssl_read(session_.get(), reinterpret_cast<unsigned char*>(into.data()), into.size());
        if (n > 0)
            return static_cast<std::size_t>(n);
        if (n == MBEDTLS_ERR_SSL_WANT_READ)
            return std::size_t{0};
        if (n == 0 || n == MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY) {
            peer_closed_ = true;
            return std::size_t{0};
        }
        return fail("ssl read", why(n));
    }

    bool may_read() const noexcept override {
        return has_input() || failed_ || peer_closed_ || mbedtls_ssl_get_bytes_avail(session_.get()) > 0;
    }
    bool peer_closed() const noexcept override { return peer_closed_; }

    base::result<void> write(std::string_view plain) override {
        if (failed_)
            return base::error{{}, *failed_};
        while (!plain.empty()) {
            const int n = mbedtls_ssl_write(
                session_.get(), reinterpret_cast<const unsigned char*>(plain.data()), plain.size());
            if (n <= 0)
                return fail("ssl write", why(n));
            plain.remove_prefix(static_cast<std::size_t>(n));
        }
        return {};
    }

    void close() override {
        if (!failed_ && !std::exchange(closed_, true))
            mbedtls_ssl_close_notify(session_.get());
    }

private:
    static int send(void* self, const unsigned char* bytes, std::size_t size) {
        static_cast<mbedtls_engine*>(self)->add_output({reinterpret_cast<const char*>(bytes), size});
        return static_cast<int>(size);
    }

    static int receive(void* self, unsigned char* into, std::size_t size) {
        const std::size_t n =
            static_cast<mbedtls_engine*>(self)->take_input({reinterpret_cast<char*>(into), size});
        return n > 0 ? static_cast<int>(n) : MBEDTLS_ERR_SSL_WANT_READ;
    }

    std::string why(int error) {
        std::string text = reason_of(error);
        const std::uint32_t flags = mbedtls_ssl_get_verify_result(session_.get());
        if (!backend_->verifies() || flags == 0 || flags == ~std::uint32_t{0})
            return text;
        std::array<char, 300> details{};
        mbedtls_x509_crt_verify_info(details.data(), details.size(), "", flags);
        const std::string_view all = details.data();
        return fmt::format("{} ({})", text, all.substr(0, all.find('\n')));
    }

    base::error fail(std::string_view what, std::string_view reason) {
        failed_ = fmt::format("{}: {}", what, reason);
        return {{}, *failed_};
    }

    std::shared_ptr<const mbedtls_backend> backend_;
    mutable ssl_session session_;
    std::optional<std::string> failed_;
    // The secret is this handshake's alone (RFC 7627): otherwise "tls-unique" would not bind. That of a
    // resumed session may be older than the extension.
    bool own_secret_ = false;
    bool peer_closed_ = false;
    bool closed_ = false;
};

base::result<void> mbedtls_backend::open(const material& from) {
    if (const int error =
            mbedtls_ctr_drbg_seed(random_->get(), mbedtls_entropy_func, entropy_->get(), nullptr, 0);
        error != 0)
        return file_error("mbedtls_ctr_drbg_seed", reason_of(error), "");
    mbedtls_ssl_config* c = configuration_->get();
    const int side = is_server() ? MBEDTLS_SSL_IS_SERVER : MBEDTLS_SSL_IS_CLIENT;
    if (const int error =
            mbedtls_ssl_config_defaults(c, side, MBEDTLS_SSL_TRANSPORT_STREAM, MBEDTLS_SSL_PRESET_DEFAULT);
        error != 0)
        return file_error("mbedtls_ssl_config_defaults", reason_of(error), "");
    mbedtls_ssl_conf_rng(c, mbedtls_ctr_drbg_random, random_->get());
    mbedtls_ssl_conf_min_version(c, MBEDTLS_SSL_MAJOR_VERSION_3, number_of(given_.library.lowest));
    if (given_.library.highest)
        mbedtls_ssl_conf_max_version(c, MBEDTLS_SSL_MAJOR_VERSION_3, number_of(*given_.library.highest));
    choose_ciphers();
    choose_groups();
    if (given_.library.noisy) {
        mbedtls_debug_set_threshold(debug_threshold);
        mbedtls_ssl_conf_dbg(c, debug, this);
    }
    if (!from.key.empty() || !from.certificates.empty())
        if (auto done = use_certificate(from); done.has_error())
            return done;
    if (auto done = use_authorities(from.authorities); done.has_error())
        return done;
    const bool asks = peer_check_of(given_) == peer_check::ask;
    mbedtls_ssl_conf_authmode(c, verifies() ? MBEDTLS_SSL_VERIFY_REQUIRED
                                 : asks     ? MBEDTLS_SSL_VERIFY_OPTIONAL
                                            : MBEDTLS_SSL_VERIFY_NONE);
    mbedtls_ssl_conf_verify(c, judge, this);
    return set_resumption();
}

base::result<void> mbedtls_backend::use_certificate(const material& from) {
    const std::string& key_file = given_.certificate_files.front();
    const std::string& certificate_file = given_.certificate_files.back();
    const base::secret_text key = with_nul(from.key.view());
    if (const int error = mbedtls_pk_parse_key(key_->get(), octets(key.view()), key.size(), nullptr, 0);
        error != 0)
        return file_error("mbedtls_pk_parse_key", reason_of(error), key_file);
    certificates all;
    const base::secret_text chain = with_nul(from.certificates.view());
    if (const int error = mbedtls_x509_crt_parse(all.get(), octets(chain.view()), chain.size()); error != 0)
        return file_error("mbedtls_x509_crt_parse",
                          error < 0 ? reason_of(error) : "not all certificates are good", certificate_file);
    const mbedtls_x509_crt* own = all.get();
    while (own != nullptr && mbedtls_pk_check_pair(&own->pk, key_->get()) != 0)
        own = own->next;
    if (own == nullptr)
        return file_error("mbedtls_pk_check_pair", "no certificate belongs to the private key",
                          certificate_file);
    int error = mbedtls_x509_crt_parse_der(own_->get(), own->raw.p, own->raw.len);
    for (const mbedtls_x509_crt* one = all.get(); one != nullptr && error == 0; one = one->next)
        if (one != own)
            error = mbedtls_x509_crt_parse_der(own_->get(), one->raw.p, one->raw.len);
    if (error == 0)
        error = mbedtls_ssl_conf_own_cert(configuration_->get(), own_->get(), key_->get());
    if (error != 0)
        return file_error("mbedtls_ssl_conf_own_cert", reason_of(error), certificate_file);
    return {};
}

base::result<void> mbedtls_backend::use_authorities(const std::string& pem) {
    int error = 0;
    switch (authority_source_of(given_)) {
    case authority_source::none:
        return {};
    case authority_source::system:
        error = mbedtls_x509_crt_parse_file(authorities_->get(), system_authorities);
        break;
    case authority_source::directory:
        error = mbedtls_x509_crt_parse_path(authorities_->get(), given_.verify.c_str());
        break;
    case authority_source::file:
        error = mbedtls_x509_crt_parse(authorities_->get(), octets(pem), pem.size() + 1);
        break;
    }
    if (error < 0) // more than 0: so many of them are not understood
        return file_error("mbedtls_x509_crt_parse", reason_of(error), given_.verify);
    mbedtls_ssl_conf_ca_chain(configuration_->get(), authorities_->get(), nullptr);
    return {};
}

// The library's own choice has ciphers that count as weak by now; old versions may need them.
void mbedtls_backend::choose_ciphers() {
    for (const int* at = mbedtls_ssl_list_ciphersuites(); *at != 0; ++at) {
        const std::string_view name = mbedtls_ssl_get_ciphersuite_name(*at);
        const auto has = [name](std::string_view part) {
            return name.find(part) != std::string_view::npos;
        };
        const bool weak = has("DES") || has("RC4") || has("CCM-8"); // the last for its short tags
        if (!has("NULL") && !has("PSK") && !(weak && given_.library.lowest >= version::tls1_2))
            ciphers_.push_back(*at);
    }
    ciphers_.push_back(0);
    mbedtls_ssl_conf_ciphersuites(configuration_->get(), ciphers_.data());
}

// The same for what keys are agreed on with. OpenSSL draws the line there too, but for old versions.
void mbedtls_backend::choose_groups() {
    for (const mbedtls_ecp_curve_info* at = mbedtls_ecp_curve_list(); at->grp_id != MBEDTLS_ECP_DP_NONE; ++at)
        if (at->bit_size >= smallest_group)
            groups_.push_back(at->grp_id);
    groups_.push_back(MBEDTLS_ECP_DP_NONE);
    mbedtls_ssl_conf_curves(configuration_->get(), groups_.data());
    if (!is_server() && given_.library.lowest >= version::tls1_2)
        mbedtls_ssl_conf_dhm_min_bitlen(configuration_->get(), smallest_prime);
}

base::result<void> mbedtls_backend::set_resumption() {
    mbedtls_ssl_config* c = configuration_->get();
    if (!is_server()) {
        mbedtls_ssl_conf_session_tickets(c, MBEDTLS_SSL_SESSION_TICKETS_DISABLED);
        return {};
    }
    if (given_.library.no_resumption)
        return {};
    mbedtls_ssl_cache_set_max_entries(cache_->get(), kept_sessions);
    mbedtls_ssl_conf_session_cache(c, cache_->get(), mbedtls_ssl_cache_get, mbedtls_ssl_cache_set);
    if (given_.library.no_tickets)
        return {};
    if (const int error = mbedtls_ssl_ticket_setup(tickets_->get(), mbedtls_ctr_drbg_random, random_->get(),
                                                   MBEDTLS_CIPHER_AES_256_GCM, ticket_seconds);
        error != 0)
        return file_error("mbedtls_ssl_ticket_setup", reason_of(error), "");
    mbedtls_ssl_conf_session_tickets_cb(c, mbedtls_ssl_ticket_write, mbedtls_ssl_ticket_parse,
                                        tickets_->get());
    return {};
}

// The library has judged the chain down to here; the name is ours to judge, at the peer's own certificate.
int mbedtls_backend::judge(void* self, mbedtls_x509_crt* certificate, int depth, std::uint32_t* flags) {
    const auto& backend = *static_cast<const mbedtls_backend*>(self);
    if (!backend.verifies())
        *flags = 0;
    *flags &= ~std::uint32_t{MBEDTLS_X509_BADCERT_CN_MISMATCH};
    const std::string& wanted = backend.given_.verify_name;
    if (!backend.verifies() || depth != 0 || *flags != 0 || wanted.empty())
        return 0;
    const bool good = has_name(*certificate, wanted);
    log_name_check(backend.log_, subject_of(*certificate), wanted, good);
    if (!good)
        *flags |= MBEDTLS_X509_BADCERT_CN_MISMATCH;
    return 0;
}

void mbedtls_backend::debug(void* self, int level, const char*, int, const char* text) {
    const auto& backend = *static_cast<const mbedtls_backend*>(self);
    backend.log_.verbose("tls: mbedtls: {}: {}", level, base::printable(base::trim(text)));
}

std::unique_ptr<engine> mbedtls_backend::begin() const {
    auto made = std::make_unique<mbedtls_engine>(shared_from_this());
    if (!made->open())
        return nullptr;
    return made;
}

} // namespace

base::result<std::shared_ptr<const backend>> open_mbedtls(const settings& given, const material& from,
                                                          const base::logger& log) {
    auto made = std::make_shared<mbedtls_backend>(given, log);
    if (auto opened = made->open(from); opened.has_error())
        return opened.error();
    return std::shared_ptr<const backend>(std::move(made));
}

std::string mbedtls_version() {
    std::array<char, 32> text{};
    mbedtls_version_get_string_full(text.data());
    return text.data();
}

} // namespace tls
