#include "relay/password_check.hpp"

#include "os/thread_name.hpp"

#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <utility>

namespace relay {

namespace {

// In the frame of the coroutine that waits; touched on its thread only.
struct answer {
    net::event& wake;
    std::optional<base::result<void>> result{};
};

} // namespace

struct password_check::shared {
    struct job {
        net::worker* on; // there until `stopping`
        std::weak_ptr<answer> to;
        sasl::ask_password asked;
    };

    void work() {
        for (;;) {
            std::unique_lock lock(mutex);
            changed.wait(lock, [this] { return stopping || !jobs.empty(); });
            if (stopping)
                return;
            job now = std::move(jobs.front());
            jobs.pop_front();
            lock.unlock();
            if (now.to.expired())
                continue; // nobody waits any more
            base::result<void> outcome = ask(now.asked.id, now.asked.password.view());
            lock.lock();
            if (stopping)
                return;
            now.on->post([to = std::move(now.to), outcome = std::move(outcome)] {
                if (auto waiting = to.lock()) {
                    waiting->result = outcome;
                    waiting->wake.notify();
                }
            });
        }
    }

    checker ask;
    std::mutex mutex;
    std::condition_variable changed;
    std::deque<job> jobs;
    bool stopping = false;
};

password_check::password_check(checker ask, std::size_t threads, std::chrono::milliseconds patience)
    : shared_(std::make_shared<shared>()), patience_(patience) {
    shared_->ask = std::move(ask);
    for (std::size_t i = 0; i < threads; ++i)
        std::thread([all = shared_] {
            os::name_thread("pam");
            all->work();
        }).detach();
}

password_check::~password_check() {
    std::lock_guard lock(shared_->mutex);
    shared_->stopping = true;
    shared_->jobs.clear();
    shared_->changed.notify_all();
}

net::awaitable<std::optional<sasl::verdict>>
password_check::check(net::worker& on, net::event& wake, sasl::ask_password asked, base::logger log) {
    auto waiting = std::make_shared<answer>(answer{wake});
    {
        std::lock_guard lock(shared_->mutex);
        shared_->jobs.push_back({&on, waiting, asked});
    }
    shared_->changed.notify_one();
    co_await wake.wait(std::chrono::steady_clock::now() + patience_);
    if (!waiting->result) {
        log.warning("pam error: no answer");
        co_return std::nullopt;
    }
    if (waiting->result->has_value())
        co_return sasl::passed(asked);
    log.warning("pam error: {}", waiting->result->error().message());
    co_return sasl::failed(asked);
}

} // namespace relay
