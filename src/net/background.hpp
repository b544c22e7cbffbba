// How coroutines wait for work that keeps a thread busy, without keeping their network thread.
//
//     auto ids = co_await work.run(job);          // `job` is a named callable; its result comes back
//     auto soon = work.start(worker, job);        // the same, to be waited for later: co_await soon.wait()
//
// The work is done on a pool and the coroutine goes on on its own thread.
#pragma once

#include "net/pending.hpp"
#include "net/stream.hpp"
#include "os/gate.hpp"
#include "os/worker_pool.hpp"

#include <boost/asio/associated_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

namespace net {

class background {
public:
    explicit background(os::worker_pool& pool) : pool_(pool) {}

    template <class Job>
    awaitable<std::invoke_result_t<Job&>> run(Job job) {
        using value = std::invoke_result_t<Job&>;
        if constexpr (std::is_void_v<value>)
            return run_for_nothing(std::move(job));
        else
            return run_for<value>(std::move(job));
    }

    // What the job refers to must live until it is over, waited for or not.
    template <class Job>
    pending<std::invoke_result_t<Job&>> start(worker& on, Job job) {
        using state = typename pending<std::invoke_result_t<Job&>>::state;
        auto result = std::make_shared<state>(on);
        auto kept = std::make_shared<Job>(std::move(job));
        gate_.enter();
        bool posted = pool_.post([this, &on, kept, state_of = result]() mutable {
            if constexpr (std::is_void_v<std::invoke_result_t<Job&>>)
                (*kept)();
            else
                state_of->value.emplace((*kept)());
            kept.reset();
            on.post([mine = std::move(state_of)] {
                mine->over = true;
                mine->done.notify();
            });
            gate_.leave();
        });
        if (!posted) // as above
            gate_.leave();
        return pending<std::invoke_result_t<Job&>>(std::move(result));
    }

    // Waits until nothing is under way: afterwards event loops may be destroyed.
    void drain() { gate_.wait_until_empty(); }

protected:
    // A suspended coroutine, until it is resumed with its value on its own thread.
    template <class Value, class Handler>
    class suspended : public std::enable_shared_from_this<suspended<Value, Handler>> {
    public:
        suspended(Handler handler, os::gate& gate) : handler_(std::move(handler)), gate_(gate) {}

        void resume(Value value) {
            auto executor = boost::asio::get_associated_executor(handler_);
            value_.emplace(std::move(value));
            os::gate& gate = gate_; // once posted, this may be gone
            boost::asio::post(
                executor, [self = this->shared_from_this()] { self->handler_(std::move(*self->value_)); });
            gate.leave();
        }

    private:
        Handler handler_;
        os::gate& gate_;
        std::optional<Value> value_;
    };

    template <class Value, class Handler>
    std::shared_ptr<suspended<Value, Handler>> hold(Handler handler) {
        gate_.enter();
        return std::make_shared<suspended<Value, Handler>>(std::move(handler), gate_);
    }

    boost::asio::use_awaitable_t<> token_;

private:
    template <class Value, class Job>
    awaitable<Value> run_for(Job job) {
        auto start = [this](auto handler, Job work) {
            auto waiting = hold<Value>(std::move(handler));
            auto kept = std::make_shared<Job>(std::move(work));
            bool posted = pool_.post([waiting, kept] { waiting->resume((*kept)()); });
            if (!posted) // the pool has stopped: the coroutine stays suspended until it is destroyed
                gate_.leave();
        };
        return boost::asio::async_initiate<boost::asio::use_awaitable_t<>, void(Value)>(
            std::move(start), token_, std::move(job));
    }

    template <class Job>
    awaitable<void> run_for_nothing(Job job) {
        struct nothing {};
        auto whole = [job = std::move(job)]() mutable {
            job();
            return nothing();
        };
        co_await run_for<nothing>(std::move(whole));
    }

    os::worker_pool& pool_;
    os::gate gate_;
};

} // namespace net
