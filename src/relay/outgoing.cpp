#include "relay/outgoing.hpp"

#include <algorithm>
#include <optional>
#include <span>
#include <utility>

namespace relay {

namespace {

constexpr std::size_t piece = 64 * 1024; // content octets read at a time

base::result<void> apply(spool::store& store, spool::claimed_message message,
                         const smtp::message_done& outcome) {
    using result = smtp::message_done::result;
    switch (outcome.what) {
    case result::sent:
        return store.finish(std::move(message));
    case result::sent_to_some:
        return store.fail_partly(std::move(message), outcome.refused, outcome.reason, outcome.code);
    case result::recipients_refused:
    case result::refused:
    case result::failed:
        break;
    }
    return store.fail(std::move(message), outcome.reason, outcome.code);
}

} // namespace

base::result<void> outgoing_message::read_ahead() {
    ahead.resize(std::min<std::uint64_t>(piece, message.content_size() + 1));
    used = 0;
    auto n = message.read(ahead);
    if (n.has_error())
        return n.error();
    all_read = *n < ahead.size();
    ahead.resize(*n);
    return {};
}

base::result<outgoing_message> take_now(spool::store& store, const std::string& id) {
    auto claimed = store.claim(id);
    if (claimed.has_error())
        return claimed.error();
    outgoing_message out(std::move(*claimed));
    if (auto read = out.read_ahead(); read.has_error()) {
        store.ignore(std::move(out.message), read.error());
        return read.error();
    }
    return out;
}

net::awaitable<base::result<outgoing_message>> take(spool::store& store, blocking& work, std::string id) {
    auto claim = [&store, &id] {
        return take_now(store, id);
    };
    co_return co_await work.run(claim);
}

net::awaitable<void> put_back(spool::store& store, blocking& work, outgoing_message message,
                              const base::logger& log) {
    std::string id = message.message.id();
    auto release = [&store, &message] {
        return store.release(std::move(message.message));
    };
    auto released = co_await work.run(release);
    if (released.has_error())
        log.warning("forwarding [{}]: {}", id, released.error().message());
}

smtp::message_done failed_with(std::string reason) {
    return {smtp::message_done::result::failed, std::move(reason), std::nullopt, {}};
}

void settle_now(spool::store& store, outgoing_message message, const smtp::message_done& outcome,
                const base::logger& log) {
    std::string id = message.message.id();
    auto changed = apply(store, std::move(message.message), outcome);
    if (changed.has_error())
        log.warning("forwarding [{}]: {}", id, changed.error().message());
}

net::awaitable<void> settle(spool::store& store, blocking& work, outgoing_message message,
                            smtp::message_done outcome, const base::logger& log) {
    auto change = [&] {
        settle_now(store, std::move(message), outcome, log);
    };
    co_await work.run(change);
}

} // namespace relay
