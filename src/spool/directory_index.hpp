// What of a spool directory is asked for again and again: ready messages in their order, sub-directories,
// journals of other processes. Asking costs what has changed since, not what is there.
//
// It is kept by what the kernel tells of the directory (os/directory_watch.hpp), of our own renames as of
// those of others, in the order in which they happened; so it cannot disagree with the directory. The whole
// directory is read at first, when changes were lost, on demand, and each time where the kernel does not tell
// of them. A message of ours takes 64 octets.
//
// Thread-safe. A thread takes in changes between the questions, so that the kernel need not keep them.
#pragma once

#include "base/log.hpp"
#include "base/result.hpp"
#include "os/directory_watch.hpp"
#include "spool/folder.hpp"
#include "spool/names.hpp"
#include "spool/store.hpp"

#include <boost/container/map.hpp>

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace spool {

class directory_index {
public:
    using names = std::set<std::string, std::less<>>;

    // `dir` outlives it. `is_own_segment` says whether a journal is this process's. Without `watch` the
    // directory is read at each refresh(): for those who ask seldom.
    directory_index(const folder& dir, bool watch, std::function<bool(std::string_view)> is_own_segment,
                    base::logger log);
    ~directory_index(); // as stop()
    directory_index(const directory_index&) = delete;
    directory_index& operator=(const directory_index&) = delete;

    // [blocks] Brings it up to date: all is in it that happened before the call.
    base::result<void> refresh(look how);

    // A way through the messages that are ready at one moment.
    class place {
    public:
        std::size_t count() const noexcept { return count_; } // of them at that moment

    private:
        friend class directory_index;
        std::size_t count_ = 0;
        std::uint64_t before_ = 0; // those that came later do not count
        std::optional<message_name> last_;
        std::optional<std::string> last_foreign_;
    };
    place beginning() const;

    // [blocks] Ids of the next ones, oldest first, `most` at most; those that have gone are left out. None:
    // that was all.
    std::vector<std::string> next(place& from, std::size_t most);

    names segments() const; // of other processes' journals

    // [blocks] As refresh(look::at_changes), then names that are neither hidden nor those of a message's
    // files, in byte order.
    base::result<std::vector<std::string>> other_names();

    void stop(); // no refresh() may follow

private:
    template <class Key, class Before>
    using arrivals = boost::container::map<Key, std::uint64_t, Before>; // with the number of its arrival
    struct older {
        bool operator()(const message_name& a, const message_name& b) const { return is_older(a, b); }
    };

    base::result<void> bring_up_to_date(look how); // under the lock, as all that follow
    void start_watch();
    base::result<void> read_directory();
    void take_in_changes();
    void came(std::string_view name);
    void went(std::string_view name);
    void follow(); // the thread

    const folder& dir_;
    const bool wants_watch_;
    const std::function<bool(std::string_view)> is_own_segment_;
    const base::logger log_;

    mutable std::mutex mutex_;
    std::condition_variable changed_; // watch_ or stopping_
    std::shared_ptr<os::directory_watch>
        watch_;                   // shared with who waits for it; none where there is no telling
    std::string why_not_watched_; // as last logged
    bool complete_ = false;       // nothing has been missed
    std::chrono::steady_clock::time_point last_read_;
    std::uint64_t last_arrival_ = 0;
    arrivals<message_name, older> ready_;
    arrivals<std::string, std::less<>> ready_foreign_;
    names segments_;
    names other_names_;
    bool stopping_ = false;
    std::thread follower_;
};

} // namespace spool
