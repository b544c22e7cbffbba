// Counts what is under way, so that somebody can wait for the end of it all. Thread-safe.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <mutex>

namespace os {

class gate {
public:
    void enter() {
        std::lock_guard lock(mutex_);
        ++inside_;
    }
    // The last thing that happens: whoever waits may destroy everything then, the gate too.
    void leave() {
        std::lock_guard lock(mutex_);
        if (--inside_ == 0)
            empty_.notify_all();
    }
    void wait_until_empty() {
        std::unique_lock lock(mutex_);
        empty_.wait(lock, [this] { return inside_ == 0; });
    }

private:
    std::mutex mutex_;
    std::condition_variable empty_;
    std::size_t inside_ = 0;
};

} // namespace os
