// The one seam through which the spool does file work: the real thing here, a recording and failing one in
// tests.
//
// Names are relative to a held directory descriptor and are single path components; a symbolic link in that
// place is never followed. Calls go on after EINTR and after short reads and writes. New files have mode 0660
// less the thread's umask. Thread-safe. Errors name the operation and the file.
#pragma once

#include "base/result.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace os {

class directory_watch;
class filesystem;

// An open file or directory. Closed with its owner; the file system outlives it.
class file {
public:
    file() = default;
    file(filesystem& owner, int descriptor) noexcept : owner_(&owner), descriptor_(descriptor) {}
    file(file&& other) noexcept : owner_(other.owner_), descriptor_(other.release()) {}
    file& operator=(file&& other) noexcept {
        if (this != &other) {
            reset();
            owner_ = other.owner_;
            descriptor_ = other.release();
        }
        return *this;
    }
    ~file() { reset(); }

    explicit operator bool() const noexcept { return descriptor_ >= 0; }
    int descriptor() const noexcept { return descriptor_; }
    int release() noexcept { return std::exchange(descriptor_, -1); }
    void reset() noexcept;

private:
    filesystem* owner_ = nullptr;
    int descriptor_ = -1;
};

enum class open_mode {
    read,
    read_write,
    append, // write only, always at the end
    create, // read and write; must not exist yet
};

struct file_status {
    enum class type { regular, directory, other };
    type kind = type::regular;
    std::uint64_t size = 0;
    std::uint64_t device = 0;
    std::uint64_t inode = 0;
    std::int64_t changed = 0; // nanoseconds since 1970: the last change of content, links or permissions
    std::uint64_t links = 1;  // names that it has
    std::uint32_t owner = 0;
    std::uint32_t group = 0;
    bool group_may_write = false;
    bool others_may_read = false;

    bool unchanged_since(const file_status& before) const noexcept {
        return same_file(before) && size == before.size && changed == before.changed;
    }
    bool same_file(const file_status& other) const noexcept {
        return device == other.device && inode == other.inode;
    }
};

class filesystem {
public:
    virtual ~filesystem() = default;

    virtual base::result<file> open_directory(const std::string& path) = 0;
    // A sub-directory; here a symbolic link is followed: mailboxes may be elsewhere.
    virtual base::result<file> open_directory(const file& parent, const std::string& name) = 0;
    // Mode 0770 less the thread's umask; file_exists if the name is taken.
    virtual base::result<void> make_directory(const file& parent, const std::string& name) = 0;
    virtual base::result<file> open(const file& directory, const std::string& name, open_mode mode) = 0;
    // As destroying it, but says what the system made of the writes that it had put off.
    virtual base::result<void> close(file opened) = 0;

    // As much as there is, up to the size of the span: less only at the end of the file.
    virtual base::result<std::size_t> read(const file& from, std::span<char> into) = 0;
    virtual base::result<std::size_t> read_at(const file& from, std::uint64_t offset,
                                              std::span<char> into) = 0;
    // All of it, or an error; then a part may have been written.
    virtual base::result<void> write(const file& to, std::span<const char> bytes) = 0;
    virtual base::result<void> write_at(const file& to, std::uint64_t offset,
                                        std::span<const char> bytes) = 0;

    // Content and all metadata; content and what is needed to read it; everything that the file system of
    // `directory` holds back. The last one is an error where the system would not report lost writes (Linux
    // before 5.8).
    virtual base::result<void> flush(const file& opened) = 0;
    virtual base::result<void> flush_data(const file& opened) = 0;
    virtual base::result<void> flush_everything(const file& directory) = 0;

    virtual base::result<void> rename(const file& directory, const std::string& from,
                                      const std::string& to) = 0;
    // The same, but never over an existing file: file_exists.
    virtual base::result<void> rename_new(const file& directory, const std::string& from,
                                          const std::string& to) = 0;
    virtual base::result<void> rename_new(const file& from_directory, const std::string& from,
                                          const file& to_directory, const std::string& to) = 0;
    // A hard link; in a set-gid directory the file gets the directory's group.
    virtual base::result<void> link(const file& from_directory, const std::string& from,
                                    const file& to_directory, const std::string& to) = 0;
    virtual base::result<void> remove(const file& directory, const std::string& name) = 0;

    virtual base::result<file_status> status(const file& opened) = 0;
    virtual base::result<file_status> status(const file& directory, const std::string& name) = 0;
    // Every name but "." and "..", in the order of the directory.
    virtual base::result<void> list(const file& directory,
                                    const std::function<void(std::string_view name)>& each) = 0;
    // From now on, until it is destroyed (os/directory_watch.hpp).
    virtual base::result<std::unique_ptr<directory_watch>> watch(const file& directory) = 0;
    virtual base::result<std::uint64_t> free_space(const file& directory) = 0; // octets that we may use

    // Locks belong to the open file, not to the process: they end with its last descriptor, also when the
    // process is killed. An exclusive lock needs a file open for writing. False: somebody else holds it.
    virtual base::result<bool> try_lock(const file& opened, bool exclusive) = 0;
    virtual base::result<bool> locked_by_others(const file& opened) = 0;
    // A lock of another kind, for directories; with `wait` it waits until it is free.
    virtual base::result<bool> lock_directory(const file& directory, bool wait) = 0;

private:
    friend class file;
    virtual void drop(int descriptor) noexcept = 0; // closes it
};

inline void file::reset() noexcept {
    if (descriptor_ >= 0)
        owner_->drop(release());
}

// The system's own.
std::unique_ptr<filesystem> make_filesystem();

} // namespace os
