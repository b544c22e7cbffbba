#include "spool/folder.hpp"

#include "os/identity.hpp"
#include "spool/names.hpp"

#include <boost/system/errc.hpp>

#include <cerrno>
#include <span>
#include <utility>

namespace spool {

folder::folder(os::filesystem& files, os::file directory, std::string path)
    : files_(files), directory_(std::move(directory)), path_(std::move(path)) {}

std::string folder::path_of(std::string_view name) const {
    std::string whole = path_;
    if (!whole.ends_with('/'))
        whole += '/';
    return whole.append(name);
}

base::result<os::file> folder::open(const std::string& name, os::open_mode mode) const {
    return files_.open(directory_, name, mode);
}

base::result<opened_content> folder::open_content(const std::string& name) const {
    return spool::open_content(files_, directory_, name, directory_);
}

base::result<opened_content> open_content(os::filesystem& files, const os::file& directory,
                                          const std::string& name, const os::file& spool) {
    auto opened = files.open(directory, name, os::open_mode::read);
    if (opened.has_error())
        return opened.error();
    auto about = files.status(*opened);
    if (about.has_error())
        return about.error();
    if (about->kind != os::file_status::type::regular)
        return base::make_error(EINVAL, "open " + name + ": not a file");
    if (about->links <= 1 || about->others_may_read)
        return opened_content{std::move(*opened), *about};
    auto around = files.status(spool);
    bool is_of_the_spool = about->group_may_write && (about->owner == os::owner_of_files() ||
                                                      (around.has_value() && about->group == around->group));
    if (!is_of_the_spool)
        return base::make_error(EPERM, "open " + name + ": perhaps a link to somebody else's file");
    return opened_content{std::move(*opened), *about};
}

base::result<os::file_status> folder::status(const std::string& name) const {
    return files_.status(directory_, name);
}

bool folder::exists(const std::string& name) const {
    auto found = status(name);
    return found.has_value() || found.error().code != boost::system::errc::no_such_file_or_directory;
}

base::result<void> folder::rename(const std::string& from, const std::string& to) const {
    return files_.rename(directory_, from, to);
}

base::result<void> folder::rename_new(const std::string& from, const std::string& to) const {
    return files_.rename_new(directory_, from, to);
}

base::result<void> folder::remove(const std::string& name) const {
    return files_.remove(directory_, name);
}

base::result<void> folder::write_new(const std::string& name, std::string_view bytes, bool flush) const {
    auto made = open(name, os::open_mode::create);
    if (made.has_error())
        return made.error();
    auto outcome = files_.write(*made, bytes);
    if (outcome.has_value() && flush)
        outcome = files_.flush(*made);
    auto closed = files_.close(std::move(*made));
    if (outcome.has_value())
        outcome = std::move(closed);
    if (outcome.has_error()) {
        (void)remove(name);
        return base::error{outcome.error().code, outcome.error().what + " " + name};
    }
    return {};
}

base::result<void> folder::copy_new(const std::string& from, const std::string& to) const {
    auto source = open_content(from);
    if (source.has_error())
        return source.error();
    auto made = open(to, os::open_mode::create);
    if (made.has_error())
        return made.error();
    auto outcome = copy_content(files_, source->file, *made);
    auto closed = files_.close(std::move(*made));
    if (outcome.has_value())
        outcome = std::move(closed);
    if (outcome.has_error())
        (void)remove(to);
    return outcome;
}

base::result<void> copy_content(os::filesystem& files, const os::file& from, const os::file& to) {
    std::string piece(64 * 1024, '\0');
    for (std::uint64_t at = 0;;) {
        auto n = files.read_at(from, at, piece);
        if (n.has_error())
            return n.error();
        if (*n == 0)
            return {};
        at += *n;
        if (auto written = files.write(to, std::span(piece).first(*n)); written.has_error())
            return written;
    }
}

base::result<void> folder::replace(const std::string& name, std::string_view bytes) const {
    std::string temporary = name_of(restore_prefix, name);
    (void)remove(temporary);
    auto outcome = write_new(temporary, bytes, true);
    if (outcome.has_value())
        outcome = rename(temporary, name);
    if (outcome.has_error())
        (void)remove(temporary);
    return outcome;
}

base::result<std::string> folder::read(const os::file& opened, std::uint64_t limit) const {
    auto about = files_.status(opened);
    if (about.has_error())
        return about.error();
    if (about->kind != os::file_status::type::regular)
        return base::make_error(about->kind == os::file_status::type::directory ? EISDIR : EINVAL, "read");
    if (about->size > limit)
        return base::make_error(EFBIG, "read");
    std::string text(about->size, '\0');
    auto got = files_.read_at(opened, 0, text);
    if (got.has_error())
        return got.error();
    text.resize(*got);
    return text;
}

base::result<std::string> folder::read(const std::string& name, std::uint64_t limit) const {
    auto opened = open(name, os::open_mode::read);
    if (opened.has_error())
        return opened.error();
    return read(*opened, limit);
}

base::result<void> folder::flush() {
    std::unique_lock lock(mutex_);
    std::shared_ptr<round> mine = next_;
    while (!mine->over) {
        if (flushing_) {
            round_over_.wait(lock);
            continue;
        }
        // The round that has not begun is the one waited for: this thread carries it out for all.
        flushing_ = true;
        next_ = std::make_shared<round>();
        lock.unlock();
        auto outcome = files_.flush(directory_);
        lock.lock();
        flushing_ = false;
        mine->outcome = std::move(outcome);
        mine->over = true;
        round_over_.notify_all();
    }
    return mine->outcome;
}

} // namespace spool
