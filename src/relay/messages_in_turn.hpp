// The messages of a forwarding run in their order. Whoever sends them takes one after the other: each is
// claimed by a disk thread from the moment it is taken, and can be waited for later. Lives on one worker.
#pragma once

#include "relay/outgoing.hpp"

#include <cstddef>
#include <memory>

namespace relay {

class messages_in_turn {
public:
    // `store` and `work` outlive it.
    messages_in_turn(spool::ready_messages all, spool::store& store, blocking& work, net::worker& on);

    std::size_t left() const noexcept { return left_; } // at most: others may take some, too
    coming_message take_next();                         // nothing goes on when none is left

private:
    class run; // jobs on their way share it

    std::shared_ptr<run> run_;
    blocking& work_;
    net::worker& worker_;
    std::size_t left_;
};

} // namespace relay
