// The messages of a forwarding run in their order. Whoever sends them takes one after the other: each is
// claimed by a disk thread from the moment it is taken, and can be waited for later. Lives on one worker.
#pragma once

#include "net/pending.hpp"
#include "relay/outgoing.hpp"

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

namespace relay {

class messages_in_turn {
public:
    // An error: the message cannot be had; the store has said why.
    using coming_message = net::pending<base::result<outgoing_message>>;

    // `store` and `work` outlive it.
    messages_in_turn(std::vector<std::string> ids, spool::store& store, blocking& work, net::worker& on);

    std::size_t left() const noexcept { return run_->ids.size() - next_; }
    coming_message take_next(); // nothing when none is left

private:
    struct run { // jobs on their way share it
        std::vector<std::string> ids;
        spool::store& store;
        base::result<outgoing_message> take(std::size_t index) const; // [blocks]
    };

    std::shared_ptr<const run> run_;
    blocking& work_;
    net::worker& worker_;
    std::size_t next_ = 0;
};

} // namespace relay
