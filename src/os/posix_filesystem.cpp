#include "os/filesystem.hpp"

#include "os/directory_watch.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

namespace os {

namespace {

constexpr mode_t new_file_mode = 0660;
constexpr mode_t new_directory_mode = 0770;

int flags_of(open_mode mode) {
    // O_NONBLOCK: a FIFO put in the place of a message must not hold a thread; plain files do not care.
    constexpr int always = O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK;
    switch (mode) {
    case open_mode::read:
        return always | O_RDONLY;
    case open_mode::read_write:
        return always | O_RDWR;
    case open_mode::append:
        return always | O_WRONLY | O_APPEND;
    case open_mode::create:
        return always | O_RDWR | O_CREAT | O_EXCL;
    }
    return always | O_RDONLY;
}

template <class Call>
auto uninterrupted(Call call) {
    auto n = call();
    while (n < 0 && errno == EINTR)
        n = call();
    return n;
}

file_status status_of(const struct stat& found) {
    file_status s;
    s.kind = S_ISREG(found.st_mode)   ? file_status::type::regular
             : S_ISDIR(found.st_mode) ? file_status::type::directory
                                      : file_status::type::other;
    s.size = static_cast<std::uint64_t>(found.st_size);
    s.device = static_cast<std::uint64_t>(found.st_dev);
    s.inode = static_cast<std::uint64_t>(found.st_ino);
    s.links = found.st_nlink;
    s.owner = found.st_uid;
    s.group = found.st_gid;
    s.group_may_write = (found.st_mode & S_IWGRP) != 0;
    s.others_may_read = (found.st_mode & S_IROTH) != 0;
    s.changed = std::int64_t{found.st_ctim.tv_sec} * 1'000'000'000 + found.st_ctim.tv_nsec;
    return s;
}

// Since Linux 5.8 syncfs() tells of writes that failed; before, it always succeeds.
bool syncfs_reports_errors() {
    utsname name{};
    int major = 0, minor = 0;
    if (::uname(&name) != 0 || std::sscanf(name.release, "%d.%d", &major, &minor) != 2)
        return false;
    return major > 5 || (major == 5 && minor >= 8);
}

struct flock whole_file(short type) {
    struct flock lock {};
    lock.l_type = type;
    lock.l_whence = SEEK_SET;
    return lock;
}

// Of a file that has just been linked. One that had two names before belongs elsewhere too, and stays as it
// is.
base::result<void> change_group(int directory, const std::string& name, gid_t group) {
    constexpr nlink_t of_us = 2;
    constexpr auto unchanged = static_cast<uid_t>(-1);
    std::string what = "change group of " + name;
    int fd = ::openat(directory, name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return base::last_error(what);
    base::result<void> outcome;
    struct stat found {};
    const bool is_known = ::fstat(fd, &found) == 0;
    const bool is_as_it_should = is_known && found.st_gid == group;
    if (is_known && !is_as_it_should && found.st_nlink > of_us)
        outcome = base::make_error(EPERM, what);
    else if (!is_known || (!is_as_it_should && ::fchownat(fd, "", unchanged, group, AT_EMPTY_PATH) != 0))
        outcome = base::last_error(what);
    ::close(fd);
    return outcome;
}

class posix_filesystem final : public filesystem {
public:
    base::result<file> open_directory(const std::string& path) override {
        int fd = uninterrupted(
            [&] { return ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOCTTY); });
        if (fd < 0)
            return base::last_error("open directory " + path);
        return file(*this, fd);
    }

    base::result<file> open_directory(const file& parent, const std::string& name) override {
        int fd = uninterrupted([&] {
            return ::openat(parent.descriptor(), name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOCTTY);
        });
        if (fd < 0)
            return base::last_error("open directory " + name);
        return file(*this, fd);
    }

    base::result<void> make_directory(const file& parent, const std::string& name) override {
        if (::mkdirat(parent.descriptor(), name.c_str(), new_directory_mode) != 0)
            return base::last_error("make directory " + name);
        return {};
    }

    base::result<file> open(const file& directory, const std::string& name, open_mode mode) override {
        int fd = uninterrupted(
            [&] { return ::openat(directory.descriptor(), name.c_str(), flags_of(mode), new_file_mode); });
        if (fd < 0)
            return base::last_error((mode == open_mode::create ? "create " : "open ") + name);
        return file(*this, fd);
    }

    base::result<void> close(file opened) override {
        // Linux has closed the descriptor in any case, also when it says EINTR.
        if (::close(opened.release()) != 0 && errno != EINTR)
            return base::last_error("close");
        return {};
    }

    base::result<std::size_t> read(const file& from, std::span<char> into) override {
        return read_all(into, [&](std::span<char> rest, std::size_t) {
            return ::read(from.descriptor(), rest.data(), rest.size());
        });
    }

    base::result<std::size_t> read_at(const file& from, std::uint64_t offset, std::span<char> into) override {
        return read_all(into, [&](std::span<char> rest, std::size_t done) {
            return ::pread(from.descriptor(), rest.data(), rest.size(), static_cast<off_t>(offset + done));
        });
    }

    base::result<void> write(const file& to, std::span<const char> bytes) override {
        return write_all(bytes, [&](std::span<const char> rest, std::size_t) {
            return ::write(to.descriptor(), rest.data(), rest.size());
        });
    }

    base::result<void> write_at(const file& to, std::uint64_t offset, std::span<const char> bytes) override {
        return write_all(bytes, [&](std::span<const char> rest, std::size_t done) {
            return ::pwrite(to.descriptor(), rest.data(), rest.size(), static_cast<off_t>(offset + done));
        });
    }

    base::result<void> flush(const file& opened) override {
        if (uninterrupted([&] { return ::fsync(opened.descriptor()); }) != 0)
            return base::last_error("fsync");
        return {};
    }

    base::result<void> flush_data(const file& opened) override {
        if (uninterrupted([&] { return ::fdatasync(opened.descriptor()); }) != 0)
            return base::last_error("fdatasync");
        return {};
    }

    base::result<void> flush_everything(const file& directory) override {
        if (!syncfs_reports_errors_)
            return base::make_error(ENOSYS, "syncfs");
        if (uninterrupted([&] { return ::syncfs(directory.descriptor()); }) != 0)
            return base::last_error("syncfs");
        return {};
    }

    base::result<void> rename(const file& directory, const std::string& from,
                              const std::string& to) override {
        if (::renameat(directory.descriptor(), from.c_str(), directory.descriptor(), to.c_str()) != 0)
            return base::last_error("rename " + from);
        return {};
    }

    base::result<void> rename_new(const file& directory, const std::string& from,
                                  const std::string& to) override {
        return rename_new(directory, from, directory, to);
    }

    base::result<void> rename_new(const file& from_directory, const std::string& from,
                                  const file& to_directory, const std::string& to) override {
        int source = from_directory.descriptor(), target = to_directory.descriptor();
        if (::renameat2(source, from.c_str(), target, to.c_str(), RENAME_NOREPLACE) == 0)
            return {};
        if (errno != EINVAL && errno != ENOSYS)
            return base::last_error("rename " + from);
        // A file system without that flag (NFS): a hard link is never made over an existing name.
        if (::linkat(source, from.c_str(), target, to.c_str(), 0) == 0) {
            ::unlinkat(source, from.c_str(), 0);
            return {};
        }
        if (errno != EPERM && errno != EOPNOTSUPP && errno != ENOSYS)
            return base::last_error("rename " + from);
        struct stat found {};
        if (::fstatat(target, to.c_str(), &found, AT_SYMLINK_NOFOLLOW) == 0)
            return base::make_error(EEXIST, "rename " + from);
        if (::renameat(source, from.c_str(), target, to.c_str()) != 0)
            return base::last_error("rename " + from);
        return {};
    }

    base::result<void> link(const file& from_directory, const std::string& from, const file& to_directory,
                            const std::string& to) override {
        int target = to_directory.descriptor();
        if (::linkat(from_directory.descriptor(), from.c_str(), target, to.c_str(), 0) != 0)
            return base::last_error("link " + from);
        struct stat about {};
        if (::fstat(target, &about) != 0 || (about.st_mode & S_ISGID) == 0)
            return {};
        auto changed = change_group(target, to, about.st_gid);
        if (changed.has_error())
            ::unlinkat(target, to.c_str(), 0);
        return changed;
    }

    base::result<void> remove(const file& directory, const std::string& name) override {
        if (::unlinkat(directory.descriptor(), name.c_str(), 0) != 0)
            return base::last_error("remove " + name);
        return {};
    }

    base::result<file_status> status(const file& opened) override {
        struct stat found {};
        if (::fstat(opened.descriptor(), &found) != 0)
            return base::last_error("stat");
        return status_of(found);
    }

    base::result<file_status> status(const file& directory, const std::string& name) override {
        struct stat found {};
        if (::fstatat(directory.descriptor(), name.c_str(), &found, AT_SYMLINK_NOFOLLOW) != 0)
            return base::last_error("stat " + name);
        return status_of(found);
    }

    base::result<void> list(const file& directory,
                            const std::function<void(std::string_view)>& each) override {
        // A description of its own, so that readers do not share a position.
        int fd = ::openat(directory.descriptor(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
            return base::last_error("open directory");
        std::unique_ptr<DIR, void (*)(DIR*)> stream(::fdopendir(fd), [](DIR* d) { ::closedir(d); });
        if (!stream) {
            base::error why = base::last_error("open directory");
            ::close(fd);
            return why;
        }
        for (;;) {
            errno = 0;
            const dirent* entry = ::readdir(stream.get());
            if (!entry)
                break;
            std::string_view name = entry->d_name;
            if (name != "." && name != "..")
                each(name);
        }
        if (errno != 0)
            return base::last_error("read directory");
        return {};
    }

    base::result<std::unique_ptr<directory_watch>> watch(const file& directory) override {
        return watch_directory(directory.descriptor());
    }

    base::result<std::uint64_t> free_space(const file& directory) override {
        struct statvfs space {};
        if (uninterrupted([&] { return ::fstatvfs(directory.descriptor(), &space); }) != 0)
            return base::last_error("statvfs");
        return std::uint64_t{space.f_bavail} * std::uint64_t{space.f_frsize};
    }

    base::result<bool> try_lock(const file& opened, bool exclusive) override {
        struct flock lock = whole_file(exclusive ? F_WRLCK : F_RDLCK);
        if (uninterrupted([&] { return ::fcntl(opened.descriptor(), F_OFD_SETLK, &lock); }) == 0)
            return true;
        if (errno == EAGAIN || errno == EACCES)
            return false;
        return base::last_error("lock");
    }

    base::result<bool> locked_by_others(const file& opened) override {
        struct flock lock = whole_file(F_WRLCK);
        if (uninterrupted([&] { return ::fcntl(opened.descriptor(), F_OFD_GETLK, &lock); }) != 0)
            return base::last_error("lock");
        return lock.l_type != F_UNLCK;
    }

    base::result<bool> lock_directory(const file& directory, bool wait) override {
        int how = wait ? LOCK_EX : LOCK_EX | LOCK_NB;
        if (uninterrupted([&] { return ::flock(directory.descriptor(), how); }) == 0)
            return true;
        if (errno == EWOULDBLOCK)
            return false;
        return base::last_error("lock directory");
    }

private:
    void drop(int descriptor) noexcept override { ::close(descriptor); }

    template <class Read>
    static base::result<std::size_t> read_all(std::span<char> into, Read read) {
        std::size_t done = 0;
        while (done < into.size()) {
            ssize_t n = uninterrupted([&] { return read(into.subspan(done), done); });
            if (n < 0)
                return base::last_error("read");
            if (n == 0)
                break;
            done += static_cast<std::size_t>(n);
        }
        return done;
    }

    template <class Write>
    static base::result<void> write_all(std::span<const char> bytes, Write write) {
        std::size_t done = 0;
        while (done < bytes.size()) {
            ssize_t n = uninterrupted([&] { return write(bytes.subspan(done), done); });
            if (n < 0)
                return base::last_error("write");
            if (n == 0)
                return base::make_error(ENOSPC, "write");
            done += static_cast<std::size_t>(n);
        }
        return {};
    }

    bool syncfs_reports_errors_ = syncfs_reports_errors();
};

} // namespace

std::unique_ptr<filesystem> make_filesystem() {
    return std::make_unique<posix_filesystem>();
}

} // namespace os
