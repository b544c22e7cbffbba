// A network thread: one event loop and what connections on it share.
//
// The first worker is run by the main thread. A connection lives on one worker from accept to close.
#pragma once

#include "base/log.hpp"
#include "net/buffer_pool.hpp"
#include "net/stream.hpp"

#include <boost/asio/any_io_executor.hpp>

#include <cstddef>
#include <functional>
#include <memory>
#include <vector>

namespace boost::asio {
class io_context;
}

namespace net {

class activity;
class dns_client;
class resolver;

class worker {
public:
    worker();
    explicit worker(std::shared_ptr<net::activity> all, std::size_t index = 0); // one of several
    ~worker();
    worker(const worker&) = delete;
    worker& operator=(const worker&) = delete;

    std::size_t index() const noexcept; // in its group
    boost::asio::io_context& context() noexcept;
    boost::asio::any_io_executor executor() noexcept;
    buffer_pool& buffers() noexcept;
    resolver& names() noexcept;          // made when first used
    dns_client& name_servers() noexcept; // so is this
    net::activity& activity() noexcept;  // of all workers

    // Runs `job` on this worker's thread. Thread-safe.
    void post(std::function<void()> job);

    void run();  // until stop()
    void stop(); // thread-safe; what is suspended stays so until the worker is destroyed

private:
    struct impl;
    std::unique_ptr<impl> impl_;
};

// All of them. The threads of workers 1 and up are started by start() and joined by stop().
class worker_group {
public:
    explicit worker_group(std::size_t threads);
    ~worker_group();
    worker_group(const worker_group&) = delete;
    worker_group& operator=(const worker_group&) = delete;

    std::size_t size() const noexcept;
    worker& operator[](std::size_t i) noexcept;
    worker& next() noexcept; // round robin; used by one thread
    net::activity& activity() noexcept;

    void start();
    void stop(); // from the main thread, after its own run() has returned

private:
    struct impl;
    std::unique_ptr<impl> impl_;
};

// The one way to start a coroutine: what escapes from it is logged under `name` and ends it alone.
void spawn(worker& on, awaitable<void> what, base::logger log, const char* name);

// Suspends for a time on the present worker.
awaitable<void> sleep_for(std::chrono::milliseconds time);

// Lets everything else run first that is ready on the present worker.
awaitable<void> give_way();

// Calls `ring` once on the worker's thread when the time has come, unless it is destroyed before; made and
// destroyed on that thread. time_point::max() = never.
class alarm {
public:
    alarm(worker& on, time_point when, std::function<void()> ring);
    ~alarm();
    alarm(const alarm&) = delete;
    alarm& operator=(const alarm&) = delete;

private:
    struct impl;
    std::shared_ptr<impl> impl_; // shared with the timer's handler
};

// Lets one coroutine wait until another, on the same worker, calls notify(). A notification is kept until
// taken.
class event {
public:
    explicit event(worker& on);
    ~event();
    void notify();
    awaitable<void>
    wait(time_point until = time_point::max()); // returns when notified or when the time has come

private:
    struct impl;
    std::shared_ptr<impl> impl_;
};

} // namespace net
