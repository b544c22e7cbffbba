#include "relay/secrets_file.hpp"

#include "base/text.hpp"
#include "os/identity.hpp"

#include <utility>

namespace relay {

using std::chrono::steady_clock;

secrets_file::secrets_file(std::string path, std::string used_by, blocking& work, base::logger log)
    : path_(std::move(path)), used_by_(std::move(used_by)), work_(work), log_(std::move(log)) {}

// On the caller's thread; the file may be readable for root alone.
secrets_file::reading secrets_file::read() const {
    std::optional<os::file_version> version; // from before the reading: a later change is seen next time
    base::result<base::secret_text> text = base::secret_text();
    {
        os::root_scope as_root;
        version = os::version_of(path_);
        text = os::read_secret_file(path_);
    }
    if (text.has_error())
        return {version, base::error{{}, "cannot read secrets file: " + path_}};
    sasl::secrets::parsed parsed = sasl::secrets::parse(text->view());
    bool errors = false;
    if (!parsed.problems.empty())
        log_.warning("problems reading {}{}secrets file [{}]...", used_by_, used_by_.empty() ? "" : " ",
                     base::printable(path_));
    for (const sasl::secrets::problem& p : parsed.problems) {
        errors = errors || !p.warning;
        if (p.warning)
            log_.warning("{}({}): {}", base::printable(path_), p.line, p.text);
        else
            log_.error("{}({}): {}", base::printable(path_), p.line, p.text);
    }
    if (!parsed.unusable.empty())
        return {version, base::error{{}, "invalid authorisation secret: " + parsed.unusable}, errors};
    return {version, std::move(parsed.value), errors};
}

base::result<void> secrets_file::load() {
    reading first = read();
    if (first.outcome.has_error())
        return first.outcome.error();
    if (first.errors)
        return base::error{{}, "invalid secrets file"};
    os::root_scope as_root;
    if (os::is_readable_by_all(path_))
        log_.warning("secrets file [{}] can be read by every user", base::printable(path_));
    version_ = first.version;
    outcome_ = std::move(first.outcome);
    looked_ = steady_clock::now();
    return {};
}

net::awaitable<base::result<secrets_file::snapshot>> secrets_file::current() {
    std::optional<os::file_version> known;
    {
        std::lock_guard lock(mutex_);
        const bool lately = steady_clock::now() - looked_ < std::chrono::seconds(1);
        if (lately || looking_)
            co_return outcome_;
        looking_ = true;
        known = version_;
    }
    auto look = [this, known]() -> std::optional<reading> {
        std::optional<os::file_version> version;
        {
            os::root_scope as_root;
            version = os::version_of(path_);
        }
        if (version == known)
            return std::nullopt;
        if (version)
            log_.summary("re-reading secrets file: {}", base::printable(path_));
        return read();
    };
    std::optional<reading> found = co_await work_.run(look);
    std::lock_guard lock(mutex_);
    looking_ = false;
    looked_ = steady_clock::now();
    if (found) {
        version_ = found->version;
        outcome_ = std::move(found->outcome);
    }
    co_return outcome_;
}

} // namespace relay
