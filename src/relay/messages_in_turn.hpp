// The messages of a forwarding run in their order. Each is claimed when its turn comes, or, when told, while
// the one before is still being sent. Lives on one worker.
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
    // `store` and `work` outlive it.
    messages_in_turn(std::vector<std::string> ids, spool::store& store, blocking& work, net::worker& on);

    bool at_end() const noexcept { return next_ == run_->ids.size(); }

    // An error: this one cannot be had; the store has said why.
    net::awaitable<base::result<outgoing_message>> next();

    // Begins to claim the one that next() will give.
    void fetch_next();

    // At the end of the run: what has been claimed and not given is put back.
    net::awaitable<void> give_back(const base::logger& log);

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
    net::pending<base::result<outgoing_message>> fetched_;
};

} // namespace relay
