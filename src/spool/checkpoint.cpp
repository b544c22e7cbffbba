#include "spool/checkpoint.hpp"

#include "mail/envelope.hpp"
#include "spool/names.hpp"

#include <boost/system/errc.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <optional>

namespace spool {

namespace {

namespace errc = boost::system::errc;

// Up to here single flushes disturb other users of the disk less than flushing the whole file system does.
constexpr std::size_t one_by_one = 32;

// In the order in which a message passes through them; the first again, for one that was given back
// meanwhile.
constexpr std::array states{envelope_suffix, busy_suffix, bad_suffix, held_suffix, envelope_suffix};

bool is_missing(const base::error& e) {
    return e.code == errc::no_such_file_or_directory;
}

// False if it is gone.
base::result<bool> flush_file(folder& dir, const std::string& name) {
    auto opened = dir.open(name, os::open_mode::read);
    if (opened.has_error()) {
        if (is_missing(opened.error()))
            return false;
        return opened.error();
    }
    auto flushed = dir.files().flush(*opened);
    if (flushed.has_error())
        return base::error{flushed.error().code, "fsync " + name};
    return true;
}

base::result<void> flush_message(folder& dir, const std::string& id) {
    auto content = flush_file(dir, name_of(id, content_suffix));
    if (content.has_error())
        return content.error();
    if (!*content)
        return {};
    for (std::string_view state : states) {
        auto envelope = flush_file(dir, name_of(id, state));
        if (envelope.has_error())
            return envelope.error();
        if (*envelope)
            break;
    }
    return {};
}

// The envelope is locked meanwhile, so that no forwarder moves or deletes the message.
base::result<void> write_anew(folder& dir, const std::string& id, const accepted_bytes& bytes) {
    for (std::string_view state : states) {
        std::string name = name_of(id, state);
        auto opened = dir.open(name, os::open_mode::read_write);
        if (opened.has_error()) {
            if (is_missing(opened.error()))
                continue;
            return opened.error();
        }
        auto locked = dir.files().try_lock(*opened, true);
        auto mine = dir.files().status(*opened);
        auto there = dir.status(name);
        if (locked.has_error() || !*locked || mine.has_error() || there.has_error() ||
            !mine->same_file(*there))
            return base::make_error(EAGAIN, "lock " + name); // in somebody's hands: next time
        auto present = dir.read(*opened, max_envelope_size);
        bool whole = present.has_value() && mail::parse_envelope(*present).has_value();
        if (auto content = dir.replace(name_of(id, content_suffix), bytes.content); content.has_error())
            return content;
        return dir.replace(name, whole ? *present : bytes.envelope);
    }
    return {}; // gone
}

} // namespace

base::result<void>
flush_messages(folder& dir, std::span<const survivor> messages,
               const std::function<base::result<accepted_bytes>(const std::string& id)>& bytes_of,
               std::vector<std::string>& failed) {
    bool suspects =
        std::any_of(messages.begin(), messages.end(), [](const survivor& m) { return m.suspect; });
    if (messages.size() > one_by_one && !suspects &&
        dir.files().flush_everything(dir.directory()).has_value())
        return {};
    for (const survivor& m : messages) {
        if (!m.suspect && flush_message(dir, m.id).has_value())
            continue;
        auto bytes = bytes_of(m.id);
        if (bytes.has_error() || write_anew(dir, m.id, *bytes).has_error())
            failed.push_back(m.id);
    }
    return dir.flush();
}

} // namespace spool
