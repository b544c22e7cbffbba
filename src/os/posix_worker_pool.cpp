#include "os/worker_pool.hpp"

#include "os/thread_name.hpp"

namespace os {

worker_pool::worker_pool(std::string name, std::size_t threads, std::function<void()> prepare)
    : name_(std::move(name)), prepare_(std::move(prepare)) {
    for (std::size_t i = 0; i < threads; ++i)
        threads_.emplace_back([this] { work(); });
}

worker_pool::~worker_pool() {
    stop();
}

bool worker_pool::post(std::function<void()>&& job) {
    {
        std::lock_guard lock(mutex_);
        if (stopping_)
            return false;
        jobs_.push_back(std::move(job));
    }
    wake_.notify_one();
    return true;
}

void worker_pool::stop() {
    {
        std::lock_guard lock(mutex_);
        stopping_ = true;
    }
    wake_.notify_all();
    for (auto& thread : threads_)
        if (thread.joinable())
            thread.join();
}

void worker_pool::work() {
    name_thread(name_);
    if (prepare_)
        prepare_();
    for (;;) {
        std::function<void()> job;
        {
            std::unique_lock lock(mutex_);
            wake_.wait(lock, [this] { return stopping_ || !jobs_.empty(); });
            if (jobs_.empty())
                return;
            job = std::move(jobs_.front());
            jobs_.pop_front();
        }
        job();
    }
}

} // namespace os
