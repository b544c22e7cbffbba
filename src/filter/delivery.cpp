#include "filter/delivery.hpp"

#include "os/clock.hpp"
#include "os/machine.hpp"
#include "os/process.hpp"
#include "spool/names.hpp"

#include <boost/system/errc.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <utility>

namespace filter {

namespace errc = boost::system::errc;

namespace {

// "<seconds>.<microseconds>.<pid>.<host>.<count>" (spec/spool.md section 8; the count is the process's).
std::string maildir_name() {
    static std::atomic<std::uint64_t> count{0};
    std::int64_t now = os::nanoseconds_now();
    std::string host = os::host_name();
    host.resize(std::min(host.size(), host.find('.')));
    std::replace_if(
        host.begin(), host.end(), [](char c) { return c == '/' || c == '\\' || c == '.'; }, '_');
    return fmt::format("{}.{:06}.{}.{}.{}", now / 1'000'000'000, now / 1000 % 1'000'000, os::process_id(),
                       host.empty() ? "localhost" : host, count++);
}

bool is_directory(os::filesystem& files, const os::file& parent, const std::string& name) {
    auto about = files.status(parent, name);
    return about.has_value() && about->kind == os::file_status::type::directory;
}

} // namespace

bool is_mailbox_name(std::string_view name) noexcept {
    auto is_printable = [](char c) {
        auto byte = static_cast<unsigned char>(c);
        return byte >= 0x20 && byte != 0x7f && c != '/' && c != '\\';
    };
    return !name.empty() && name != "." && name != ".." && !name.starts_with(".emailrelay-") &&
           std::all_of(name.begin(), name.end(), is_printable);
}

base::result<void> delivery::into(const os::file& parent, const std::string& name) {
    auto mailbox = files().open_directory(parent, name);
    if (mailbox.has_error())
        return mailbox.error();
    bool maildir = is_directory(files(), *mailbox, "tmp") && is_directory(files(), *mailbox, "cur") &&
                   is_directory(files(), *mailbox, "new");
    return maildir ? into_maildir(*mailbox) : into_folder(*mailbox);
}

base::result<void> delivery::flush(const os::file& file) {
    return store_.syncs() ? files().flush(file) : base::result<void>();
}

base::result<void> delivery::into_maildir(const os::file& mailbox) {
    auto incoming = files().open_directory(mailbox, "tmp");
    if (incoming.has_error())
        return incoming.error();
    auto arrived = files().open_directory(mailbox, "new");
    if (arrived.has_error())
        return arrived.error();
    std::string name = maildir_name();
    auto outcome = put_content(*incoming, name, how_.hard_link);
    if (outcome.has_value())
        outcome = files().rename_new(*incoming, name, *arrived, name);
    if (outcome.has_error()) {
        (void)files().remove(*incoming, name);
        return outcome;
    }
    return flush(*arrived);
}

base::result<void> delivery::into_folder(const os::file& mailbox) {
    constexpr int attempts = 100;
    std::string id = id_;
    base::result<void> outcome;
    for (int i = 0; i < attempts; ++i) {
        std::string content = spool::name_of(id, spool::content_suffix);
        outcome = how_.envelope_only ? base::result<void>() : put_content(mailbox, content, how_.hard_link);
        if (outcome.has_value()) {
            outcome = put_envelope(mailbox, id);
            if (outcome.has_value())
                return flush(mailbox);
            if (!how_.envelope_only)
                (void)files().remove(mailbox, content);
        }
        // Another message has the name: of another spool, or of this one, delivered by a run that was cut
        // off.
        if (outcome.error().code != errc::file_exists || how_.envelope_only)
            return outcome;
        id = store_.new_id();
    }
    return outcome;
}

base::result<void> delivery::put_content(const os::file& mailbox, const std::string& name, bool link) {
    const spool::folder& from = message_.directory();
    if (link) {
        auto linked = files().link(from.directory(), message_.content_name(), mailbox, name);
        if (linked.has_error() && linked.error().code == errc::file_exists)
            return linked;
        if (linked.has_value()) {
            auto content = message_.open_content();
            auto flushed = content.has_value() ? flush(content->file) : base::result<void>(content.error());
            if (flushed.has_error())
                (void)files().remove(mailbox, name);
            return flushed;
        }
    }
    return copy_content(mailbox, name);
}

base::result<void> delivery::copy_content(const os::file& mailbox, const std::string& name) {
    auto from = message_.open_content();
    if (from.has_error())
        return from.error();
    auto to = files().open(mailbox, name, os::open_mode::create);
    if (to.has_error())
        return to.error();
    auto outcome = spool::copy_content(files(), from->file, *to);
    if (outcome.has_value())
        outcome = flush(*to);
    auto closed = files().close(std::move(*to));
    if (outcome.has_value())
        outcome = std::move(closed);
    if (outcome.has_error())
        (void)files().remove(mailbox, name);
    return outcome;
}

// Its text as it is, also what it says of other mailboxes.
base::result<void> delivery::put_envelope(const os::file& mailbox, const std::string& id) {
    auto text = message_.directory().read(message_.envelope_name(), spool::max_envelope_size);
    if (text.has_error())
        return text.error();
    std::string coming = spool::name_of(id, spool::new_suffix);
    std::string ready = spool::name_of(id, spool::envelope_suffix);
    auto made = files().open(mailbox, coming, os::open_mode::create);
    if (made.has_error())
        return made.error();
    auto outcome = files().write(*made, *text);
    if (outcome.has_value())
        outcome = flush(*made);
    auto closed = files().close(std::move(*made));
    if (outcome.has_value())
        outcome = std::move(closed);
    if (outcome.has_value())
        outcome = files().rename_new(mailbox, coming, ready);
    if (outcome.has_error())
        (void)files().remove(mailbox, coming);
    return outcome;
}

} // namespace filter
