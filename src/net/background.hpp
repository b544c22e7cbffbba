// How coroutines wait for work that keeps a thread busy, without keeping their network thread.
//
//     auto ids = co_await work.run(job);          // `job` is a named callable; its result comes back
//
// The work is done on a pool and the coroutine goes on on its own thread.
#pragma once

#include "net/stream.hpp"
#include "os/worker_pool.hpp"

#include <boost/asio/associated_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <condition_variable>
#include <memory>
#include <mutex>
#include <type_traits>
#include <utility>

namespace net {

class background {
public:
    explicit background(os::worker_pool& pool) : pool_(pool) {}

    template <class Job>
    awaitable<std::invoke_result_t<Job&>> run(Job job) {
        using value = std::invoke_result_t<Job&>;
        auto start = [this](auto handler, Job work) {
            auto waiting = hold(std::move(handler));
            auto kept = std::make_shared<Job>(std::move(work));
            bool posted = pool_.post([waiting, kept] {
                auto outcome = std::make_shared<value>((*kept)());
                waiting->resume([waiting, outcome] { waiting->handler(std::move(*outcome)); });
            });
            if (!posted)
                waiting->gate
                    .leave(); // the pool has stopped: the coroutine stays suspended until it is destroyed
        };
        return boost::asio::async_initiate<boost::asio::use_awaitable_t<>, void(value)>(
            std::move(start), token_, std::move(job));
    }

    // Waits until nothing is under way: afterwards event loops may be destroyed.
    void drain() { gate_.wait(); }

protected:
    class counter {
    public:
        void enter() {
            std::lock_guard lock(mutex_);
            ++inside_;
        }
        void leave() {
            std::lock_guard lock(mutex_);
            if (--inside_ == 0)
                empty_.notify_all();
        }
        void wait() {
            std::unique_lock lock(mutex_);
            empty_.wait(lock, [this] { return inside_ == 0; });
        }

    private:
        std::mutex mutex_;
        std::condition_variable empty_;
        std::size_t inside_ = 0;
    };

    template <class Handler>
    struct waiting_handler {
        Handler handler;
        counter& gate;

        template <class Function>
        void resume(Function function) {
            auto executor = boost::asio::get_associated_executor(handler);
            boost::asio::post(executor, std::move(function));
            gate.leave();
        }
    };

    template <class Handler>
    std::shared_ptr<waiting_handler<Handler>> hold(Handler handler) {
        gate_.enter();
        return std::make_shared<waiting_handler<Handler>>(
            waiting_handler<Handler>{std::move(handler), gate_});
    }

    boost::asio::use_awaitable_t<> token_;

private:
    os::worker_pool& pool_;
    counter gate_;
};

} // namespace net
