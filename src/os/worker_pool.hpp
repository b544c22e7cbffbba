// A few threads for work that blocks: files, flushes, account lookups.
//
// Jobs run in the order they were posted, several at once. A job must not throw. Threads call `prepare` once
// before their first job (own umask, file-system identity: os/identity.hpp).
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace os {

class worker_pool {
public:
    worker_pool(std::string name, std::size_t threads, std::function<void()> prepare = {});
    ~worker_pool(); // as stop()
    worker_pool(const worker_pool&) = delete;
    worker_pool& operator=(const worker_pool&) = delete;

    // Thread-safe. After stop() false is returned, and the job is as it was.
    bool post(std::function<void()>&& job);

    // Runs what is queued, then ends the threads.
    void stop();

private:
    void work();

    std::string name_;
    std::function<void()> prepare_;
    std::mutex mutex_;
    std::condition_variable wake_;
    std::deque<std::function<void()>> jobs_;
    bool stopping_ = false;
    std::vector<std::thread> threads_;
};

} // namespace os
