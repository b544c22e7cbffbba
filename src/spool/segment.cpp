#include "spool/segment.hpp"

#include "os/machine.hpp"
#include "spool/names.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>

namespace spool {

journal_owner this_process() {
    return {os::random_number(), os::process_id(), os::boot_id()};
}

std::string segment_name(const journal_owner& owner, std::uint64_t n) {
    return fmt::format("{}{}.{:016x}.{}", journal_prefix, owner.pid, owner.token, n);
}

std::string_view owner_part(std::string_view name) {
    std::size_t end = name.rfind('.');
    if (!name.starts_with(journal_prefix) || end == std::string_view::npos || end < journal_prefix.size())
        return {};
    return name.substr(0, end);
}

namespace {

base::result<void> fill_with_zeros(folder& dir, const segment& s, bool flush) {
    static const std::string zeros(256 * 1024, '\0');
    for (std::uint64_t at = 0; at < s.size; at += zeros.size()) {
        auto n = static_cast<std::size_t>(std::min<std::uint64_t>(zeros.size(), s.size - at));
        auto written = dir.files().write_at(s.file, at, std::span(zeros).first(n));
        if (written.has_error())
            return written;
    }
    if (!flush)
        return {};
    auto flushed = dir.files().flush(s.file);
    return flushed.has_error() ? flushed : dir.flush();
}

// Between its making and its locking a recovery by another process may have taken the file for a dead one's.
base::result<void> take_possession(folder& dir, segment& s) {
    auto locked = dir.files().try_lock(s.file, true);
    if (locked.has_error())
        return locked.error();
    auto mine = dir.files().status(s.file);
    auto there = dir.status(s.name);
    if (!*locked || mine.has_error() || there.has_error() || !mine->same_file(*there))
        return base::make_error(EAGAIN, "lock " + s.name);
    s.header.device = mine->device;
    s.header.inode = mine->inode;
    return {};
}

} // namespace

base::result<std::unique_ptr<segment>> make_segment(folder& dir, const journal_owner& owner, std::uint64_t n,
                                                    std::uint64_t size, bool flush) {
    auto s = std::make_unique<segment>();
    s->name = segment_name(owner, n);
    s->size = size;
    s->header.owner = owner.token;
    s->header.pid = owner.pid;
    s->header.boot = owner.boot;
    auto made = dir.open(s->name, os::open_mode::create);
    if (made.has_error())
        return made.error();
    s->file = std::move(*made);
    auto outcome = take_possession(dir, *s);
    if (outcome.has_value())
        outcome = fill_with_zeros(dir, *s, flush);
    if (outcome.has_error()) {
        (void)dir.remove(s->name);
        return outcome.error();
    }
    return s;
}

} // namespace spool
