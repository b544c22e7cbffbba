// The result of work that goes on by itself, to be waited for later (net/background.hpp starts it). Belongs
// to one worker and is used on its thread. If it is destroyed first the work still goes on to its end, and
// its result is destroyed on the worker's thread.
#pragma once

#include "net/worker.hpp"

#include <memory>
#include <optional>
#include <type_traits>
#include <utility>
#include <variant>

namespace net {

template <class Value>
class pending {
public:
    pending() = default; // nothing goes on

    explicit operator bool() const noexcept { return bool(state_); }

    // The result, if it is there already; it stays where it is.
    const Value* peek() const noexcept { return state_ && state_->over ? &*state_->value : nullptr; }

    // Once; afterwards nothing goes on any more.
    awaitable<Value> wait() {
        std::shared_ptr<state> mine = std::exchange(state_, nullptr);
        while (!mine->over)
            co_await mine->done.wait();
        if constexpr (!std::is_void_v<Value>)
            co_return std::move(*mine->value);
    }

private:
    friend class background;

    struct state {
        explicit state(worker& on) : done(on) {}
        // The job's thread writes it before it posts the end.
        std::optional<std::conditional_t<std::is_void_v<Value>, std::monostate, Value>> value;
        bool over = false;
        event done;
    };

    explicit pending(std::shared_ptr<state> s) : state_(std::move(s)) {}

    std::shared_ptr<state> state_;
};

} // namespace net
