// A message on its way out: taken from the spool, settled there at the end.
#pragma once

#include "base/log.hpp"
#include "net/pending.hpp"
#include "relay/blocking.hpp"
#include "smtp/client_engine.hpp"
#include "spool/store.hpp"

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

namespace relay {

// A message in hand and the piece of its content that was read ahead.
struct outgoing_message {
    explicit outgoing_message(spool::claimed_message m) : message(std::move(m)) {}

    base::result<void> read_ahead(); // [blocks] the next piece

    spool::claimed_message message;
    std::vector<char> ahead; // content octets read
    std::size_t used = 0;    // of those, sent
    bool all_read = false;
};

// A message that is being fetched. Nothing: there are no more. An error: it cannot be had; the store has said
// why.
using coming_message = net::pending<std::optional<base::result<outgoing_message>>>;

// Claims the message and reads the beginning of its content, in one trip to the disk. The store has logged
// why if it cannot be had.
base::result<outgoing_message> take_now(spool::store& store, const std::string& id); // [blocks]
net::awaitable<base::result<outgoing_message>> take(spool::store& store, blocking& work, std::string id);

// Unlocked, as it was.
net::awaitable<void> put_back(spool::store& store, blocking& work, outgoing_message message,
                              const base::logger& log);

// Failed for a reason of our own, which has no reply code.
smtp::message_done failed_with(std::string reason);

// The one place that decides what becomes of a message's files: sent -> deleted, otherwise -> `.bad`.
// [blocks] The log tells if that could not be done.
void settle_now(spool::store& store, outgoing_message message, const smtp::message_done& outcome,
                const base::logger& log);
net::awaitable<void> settle(spool::store& store, blocking& work, outgoing_message message,
                            smtp::message_done outcome, const base::logger& log);

} // namespace relay
