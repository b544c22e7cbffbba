// What the parts of a store share. Lives as long as the store and the messages that it handed out.
#pragma once

#include "os/gate.hpp"
#include "spool/directory_index.hpp"
#include "spool/folder.hpp"
#include "spool/id_source.hpp"
#include "spool/journal.hpp"
#include "spool/store.hpp"

#include <atomic>
#include <cstdint>
#include <functional>
#include <mutex>
#include <span>
#include <string>
#include <unordered_map>

namespace spool {

// Numbers of claims; thread-safe.
class claim_numbers {
public:
    std::uint64_t next(std::uint64_t count = 1) { return last_.fetch_add(count) + 1; } // the first of them

private:
    std::atomic<std::uint64_t> last_{0};
};

// Claims that are in the journal ahead of time, with their numbers.
class announcements {
public:
    void add(std::span<const std::string> ids, std::uint64_t first_number);
    std::uint64_t take(const std::string& id); // 0: not announced
    std::unordered_multimap<std::string, std::uint64_t> take_all();

private:
    std::mutex mutex_;
    std::unordered_multimap<std::string, std::uint64_t> numbers_;
};

struct core {
    core(settings s, os::filesystem& files, os::file directory, os::worker_pool& p, base::logger l);

    // A step of a commit, on one of the pool's threads; on a flusher's if the pool takes nothing any more.
    void run_on(os::worker_pool& any_pool, std::function<void()> step);

    settings config;
    folder dir;
    os::worker_pool& pool;
    base::logger log;
    id_source ids;
    journal records;
    directory_index index;
    os::worker_pool flushers; // for work that waits for the disk, so that it does not hold up the pool
    os::gate commits;         // close() waits for them
    claim_numbers claims;
    announcements announced;
};

} // namespace spool
