// How coroutines wait for work that blocks, without blocking their network thread.
//
//     auto ids = co_await work.run(job);          // `job` is a named callable; its result comes back
//     auto done = co_await work.commit(store, std::move(message), std::move(envelope));
//
// The work is done on the disk pool (or the journal's thread) and the coroutine goes on on its own thread.
#pragma once

#include "net/background.hpp"
#include "spool/store.hpp"

#include <string>
#include <utility>

namespace relay {

class blocking : public net::background {
public:
    using background::background;

    // The id under which it is stored.
    net::awaitable<base::result<std::string>> commit(spool::store& store, spool::new_message message,
                                                     mail::envelope envelope) {
        auto start = [this, &store](auto handler, spool::new_message taken, mail::envelope text) {
            auto waiting = hold<base::result<std::string>>(std::move(handler));
            store.commit(std::move(taken), std::move(text), [waiting](base::result<std::string> outcome) {
                waiting->resume(std::move(outcome));
            });
        };
        return boost::asio::async_initiate<boost::asio::use_awaitable_t<>, void(base::result<std::string>)>(
            std::move(start), token_, std::move(message), std::move(envelope));
    }

    // The same for a message that filters have seen.
    net::awaitable<base::result<std::string>> commit(spool::store& store, spool::staged_message message,
                                                     spool::store::must_be_there which) {
        auto start = [this, &store, which](auto handler, spool::staged_message taken) {
            auto waiting = hold<base::result<std::string>>(std::move(handler));
            store.commit(std::move(taken), which, [waiting](base::result<std::string> outcome) {
                waiting->resume(std::move(outcome));
            });
        };
        return boost::asio::async_initiate<boost::asio::use_awaitable_t<>, void(base::result<std::string>)>(
            std::move(start), token_, std::move(message));
    }
};

} // namespace relay
