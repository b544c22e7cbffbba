// The spool directory as held open by a store: file work with the directory and the file system already
// filled in.
//
// Concurrent calls of flush() share what they ask the disk for: each caller's flush begins after its call.
#pragma once

#include "os/filesystem.hpp"

#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

namespace spool {

struct opened_content {
    os::file file;
    os::file_status about; // as it was opened
};

class folder {
public:
    folder(os::filesystem& files, os::file directory, std::string path);

    os::filesystem& files() const noexcept { return files_; }
    const os::file& directory() const noexcept { return directory_; }
    const std::string& path() const noexcept { return path_; }
    std::string path_of(std::string_view name) const;

    base::result<os::file> open(const std::string& name, os::open_mode mode) const;
    // Content to be read; see spool::open_content() below.
    base::result<opened_content> open_content(const std::string& name) const;
    base::result<os::file_status> status(const std::string& name) const;
    // True also if it cannot be found out: nothing is deleted on a guess.
    bool exists(const std::string& name) const;
    base::result<void> rename(const std::string& from, const std::string& to) const;
    base::result<void> rename_new(const std::string& from, const std::string& to) const;
    base::result<void> remove(const std::string& name) const;

    // Makes a file that must not exist yet. On failure nothing of it is left, unless it was there before.
    base::result<void> write_new(const std::string& name, std::string_view bytes, bool flush) const;

    // The same with the octets of another file, unflushed.
    base::result<void> copy_new(const std::string& from, const std::string& to) const;

    // Puts a flushed file in the place of another, or of none; at no time is there half of it.
    base::result<void> replace(const std::string& name, std::string_view bytes) const;

    // The whole of a plain file, at most `limit` octets.
    base::result<std::string> read(const os::file& opened, std::uint64_t limit) const;
    base::result<std::string> read(const std::string& name, std::uint64_t limit) const;

    base::result<void> flush();

private:
    struct round {
        bool over = false;
        base::result<void> outcome;
    };

    os::filesystem& files_;
    os::file directory_;
    std::string path_;

    std::mutex mutex_;
    std::condition_variable round_over_;
    std::shared_ptr<round> next_ = std::make_shared<round>();
    bool flushing_ = false;
};

// All octets of `from`, appended to `to`.
base::result<void> copy_content(os::filesystem& files, const os::file& from, const os::file& to);

// The content file `name` in a spool directory or in a mailbox of it: a plain file. Whoever may write to the
// directory can give another's file a second name there and have it sent, if the system lets him
// (fs.protected_hardlinks): a file with several names is only opened if everybody may read it, or the spool's
// group write it and it is ours or that group's. Error otherwise: operation_not_permitted.
base::result<opened_content> open_content(os::filesystem& files, const os::file& directory,
                                          const std::string& name, const os::file& spool);

} // namespace spool
