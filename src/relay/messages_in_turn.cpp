#include "relay/messages_in_turn.hpp"

#include <mutex>
#include <string>
#include <utility>
#include <vector>

namespace relay {

namespace {

constexpr std::size_t announced_at_once = 64; // claims made durable by one flush

} // namespace

// Used by disk threads, several at a time.
class messages_in_turn::run {
public:
    run(spool::ready_messages all, spool::store& store) : all_(std::move(all)), store_(store) {}

    std::optional<base::result<outgoing_message>> take() {
        std::optional<std::string> id = next();
        if (!id)
            return std::nullopt;
        return take_now(store_, *id);
    }

private:
    std::optional<std::string> next() {
        std::lock_guard lock(mutex_);
        if (used_ == some_.size()) {
            some_ = all_.next(announced_at_once);
            used_ = 0;
            if (some_.empty())
                return std::nullopt;
            store_.announce(some_);
        }
        return std::move(some_[used_++]);
    }

    std::mutex mutex_;
    spool::ready_messages all_;
    std::vector<std::string> some_; // the next ones
    std::size_t used_ = 0;
    spool::store& store_;
};

messages_in_turn::messages_in_turn(spool::ready_messages all, spool::store& store, blocking& work,
                                   net::worker& on)
    : work_(work), worker_(on), left_(all.count()) {
    run_ = std::make_shared<run>(std::move(all), store);
}

coming_message messages_in_turn::take_next() {
    if (left_ == 0)
        return {};
    --left_;
    auto take = [of = run_] {
        return of->take();
    };
    return work_.start(worker_, std::move(take));
}

} // namespace relay
