// Reads the files, chooses the library, and notices when files have changed.
#include "tls/context.hpp"

#include "base/text.hpp"
#include "os/identity.hpp"
#include "os/process.hpp"
#include "tls/backend.hpp"

#include <chrono>
#include <mutex>
#include <optional>
#include <utility>

namespace tls {

namespace {

using std::chrono::steady_clock;

constexpr std::chrono::seconds between_looks{1};

using backend_result = base::result<std::shared_ptr<const backend>>;

const std::string& key_file(const settings& s) {
    return s.certificate_files.front();
}

const std::string& certificate_file(const settings& s) {
    return s.certificate_files.back();
}

base::result<material> read_files(const settings& given, const base::logger& log) {
    material out;
    if (!given.certificate_files.empty()) {
        auto key = os::read_secret_file(key_file(given));
        if (key.has_error()) {
            log.warning("cannot open ssl key file: {}", base::printable(key_file(given)));
            return file_error("open", key.error().code.message(), key_file(given));
        }
        out.key = std::move(*key);
        if (os::is_readable_by_all(key_file(given)))
            log.warning("ssl key file [{}] can be read by every user", base::printable(key_file(given)));
        auto certificates = os::read_secret_file(certificate_file(given));
        if (certificates.has_error()) {
            log.warning("cannot open ssl certificate file: {}", base::printable(certificate_file(given)));
            return file_error("open", certificates.error().code.message(), certificate_file(given));
        }
        out.certificates = std::move(*certificates);
        // Half of a file that is being copied is no good, and so is nothing of it.
        if (out.key.empty() || out.certificates.empty())
            return file_error("read", "empty file",
                              out.key.empty() ? key_file(given) : certificate_file(given));
    }
    if (authority_source_of(given) == authority_source::file) {
        auto authorities = os::read_file(given.verify);
        if (authorities.has_error())
            return file_error("open", authorities.error().code.message(), given.verify);
        out.authorities = std::move(*authorities);
    }
    return out;
}

backend_result open_backend(const settings& given, const base::logger& log) {
    os::root_scope as_at_start;
    auto files = read_files(given, log);
    if (files.has_error())
        return files.error();
    if (given.library.which == library::mbedtls)
        return open_mbedtls(given, *files, log);
    return open_openssl(given, *files, log);
}

using file_versions = std::vector<std::optional<os::file_version>>;

file_versions look(const settings& given) {
    os::root_scope as_at_start;
    file_versions out;
    for (const std::string& file : given.certificate_files)
        out.push_back(os::version_of(file));
    if (!given.verify.empty() && !given.verify.starts_with('<'))
        out.push_back(os::version_of(given.verify));
    return out;
}

class watched_context : public context {
public:
    watched_context(settings given, base::logger log, std::shared_ptr<const backend> first,
                    file_versions seen)
        : given_(std::move(given)), log_(std::move(log)), current_(std::move(first)), seen_(std::move(seen)) {
    }

    std::unique_ptr<engine> begin() override {
        look_again();
        std::shared_ptr<const backend> use;
        {
            std::lock_guard lock(mutex_);
            use = current_;
        }
        return use->begin();
    }

private:
    // One thread looks; the others go on with what there is.
    void look_again() {
        std::unique_lock lock(looking_, std::try_to_lock);
        const auto now = steady_clock::now();
        if (!lock || now < next_look_)
            return;
        next_look_ = now + between_looks;
        file_versions now_there = look(given_);
        if (now_there == seen_)
            return;
        seen_ = std::move(now_there);
        auto opened = open_backend(given_, log_);
        if (opened.has_error()) {
            log_.warning("tls: changed files are not used: {}", base::printable(opened.error().what));
            return;
        }
        log_.verbose("tls: changed files have been read");
        std::lock_guard exchange(mutex_);
        current_ = std::move(*opened);
    }

    const settings given_;
    const base::logger log_;
    std::mutex mutex_;
    std::shared_ptr<const backend> current_;
    std::mutex looking_; // guards what follows
    file_versions seen_;
    steady_clock::time_point next_look_ = steady_clock::now() + between_looks;
};

} // namespace

base::result<std::unique_ptr<context>> make_context(settings given, base::logger log) {
    file_versions seen = look(given); // before reading: a change meanwhile is noticed later
    auto first = open_backend(given, log);
    if (first.has_error())
        return first.error();
    std::unique_ptr<context> made = std::make_unique<watched_context>(std::move(given), std::move(log),
                                                                      std::move(*first), std::move(seen));
    return made;
}

std::string libraries() {
    return openssl_version() + ", " + mbedtls_version();
}

peer_check peer_check_of(const settings& given) noexcept {
    if (given.verify == "<none>")
        return peer_check::none;
    if (!given.verify.empty())
        return peer_check::verify;
    return given.library.no_verify ? peer_check::none : peer_check::ask;
}

authority_source authority_source_of(const settings& given) {
    if (given.verify == "<default>")
        return authority_source::system;
    if (given.verify.empty() || given.verify == "<none>")
        return authority_source::none;
    return os::look_at(given.verify) == os::file_kind::directory ? authority_source::directory
                                                                 : authority_source::file;
}

base::error file_error(std::string_view call, std::string_view reason, std::string_view file) {
    return {{}, fmt::format("tls error: {}: [{}]: file=[{}]", call, base::to_lower(reason), file)};
}

void log_name_check(const base::logger& log, std::string_view subject, std::string_view wanted, bool good) {
    log.verbose("tls: certificate-subject=[{}] required-peer-name=[{}] ok={}", base::printable(subject),
                base::printable(wanted), good ? 1 : 0);
}

} // namespace tls
