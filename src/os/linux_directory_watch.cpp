// inotify. Of the file systems those are trusted that are known to change through this kernel alone: in the
// others a file may come by way of another machine, a program in user space or a layer below, unheard.
#include "os/directory_watch.hpp"

#include <fmt/format.h>
#include <linux/magic.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstdint>
#include <cstring>
#include <string>
#include <utility>

namespace os {

namespace {

// Not all of them are in <linux/magic.h>.
constexpr std::uint32_t bcachefs_magic = 0xca451a4e;
constexpr std::uint32_t jfs_magic = 0x3153464a;
constexpr std::uint32_t zfs_magic = 0x2fc12fc1;

constexpr std::array<std::uint32_t, 11> local_file_systems{
    EXT4_SUPER_MAGIC, // ext2 and ext3 as well
    XFS_SUPER_MAGIC,   BTRFS_SUPER_MAGIC, TMPFS_MAGIC,          RAMFS_MAGIC, F2FS_SUPER_MAGIC,
    NILFS_SUPER_MAGIC, zfs_magic,         REISERFS_SUPER_MAGIC, jfs_magic,   bcachefs_magic,
};

bool is_local(std::uint32_t magic) {
    return std::find(local_file_systems.begin(), local_file_systems.end(), magic) != local_file_systems.end();
}

constexpr std::uint32_t coming = IN_CREATE | IN_MOVED_TO;
constexpr std::uint32_t going = IN_DELETE | IN_MOVED_FROM;
constexpr std::size_t largest_event = sizeof(inotify_event) + NAME_MAX + 1;

// A descriptor of its own, without the seam of os::filesystem: nothing is done to files.
class descriptor {
public:
    explicit descriptor(int number) : number_(number) {}
    ~descriptor() {
        if (number_ >= 0)
            ::close(number_);
    }
    descriptor(descriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
    descriptor& operator=(descriptor&&) = delete;
    explicit operator bool() const { return number_ >= 0; }
    int operator*() const { return number_; }

private:
    int number_;
};

class inotify_watch final : public directory_watch {
public:
    inotify_watch(descriptor queue, descriptor end) : queue_(std::move(queue)), end_(std::move(end)) {}

    state read(const std::function<void(change, std::string_view)>& each) override {
        state outcome = state::following;
        ssize_t n = 0;
        do {
            do
                n = ::read(*queue_, buffer_.data(), buffer_.size());
            while (n < 0 && errno == EINTR);
            for (ssize_t at = 0; at < n;)
                at += take(buffer_.data() + at, outcome, each);
        } while (n > static_cast<ssize_t>(buffer_.size() - largest_event)); // otherwise that was all
        if (outcome == state::ended)
            end(); // nothing more will come that could wake who waits
        return outcome;
    }

    void wait() override {
        std::array<pollfd, 2> waited{{{*queue_, POLLIN, 0}, {*end_, POLLIN, 0}}};
        while (::poll(waited.data(), waited.size(), -1) < 0 && errno == EINTR)
            continue;
    }

    void end() override { ::eventfd_write(*end_, 1); }

private:
    static ssize_t take(const char* at, state& outcome,
                        const std::function<void(change, std::string_view)>& each) {
        inotify_event told{};
        std::memcpy(&told, at, sizeof told);
        if ((told.mask & IN_IGNORED) != 0)
            outcome = state::ended;
        else if ((told.mask & IN_Q_OVERFLOW) != 0 && outcome == state::following)
            outcome = state::overrun;
        else if ((told.mask & (coming | going)) != 0 && told.len != 0)
            each((told.mask & coming) != 0 ? change::came : change::went,
                 std::string_view(at + sizeof told)); // padded with zeros
        return static_cast<ssize_t>(sizeof told + told.len);
    }

    descriptor queue_;
    descriptor end_;
    std::array<char, 32 * 1024> buffer_{};
};

} // namespace

base::result<std::unique_ptr<directory_watch>> watch_directory(int directory) {
    struct statfs about {};
    if (::fstatfs(directory, &about) != 0)
        return base::last_error("statfs");
    auto magic = static_cast<std::uint32_t>(about.f_type);
    if (!is_local(magic))
        return base::make_error(EOPNOTSUPP, fmt::format("watch a file system of type {:x}", magic));
    descriptor queue(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
    if (!queue)
        return base::last_error("inotify_init");
    // The directory that is held open, whatever its name is now.
    std::string path = fmt::format("/proc/self/fd/{}", directory);
    if (::inotify_add_watch(*queue, path.c_str(), coming | going | IN_ONLYDIR) < 0)
        return base::last_error("inotify_add_watch");
    descriptor end(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!end)
        return base::last_error("eventfd");
    return std::unique_ptr<directory_watch>(
        std::make_unique<inotify_watch>(std::move(queue), std::move(end)));
}

} // namespace os
