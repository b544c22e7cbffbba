#include "relay/messages_in_turn.hpp"

#include <algorithm>
#include <span>
#include <utility>

namespace relay {

namespace {

constexpr std::size_t announced_at_once = 64; // claims made durable by one flush

} // namespace

base::result<outgoing_message> messages_in_turn::run::take(std::size_t index) const {
    if (index % announced_at_once == 0)
        store.announce(std::span(ids).subspan(index, std::min(announced_at_once, ids.size() - index)));
    return take_now(store, ids[index]);
}

messages_in_turn::messages_in_turn(std::vector<std::string> ids, spool::store& store, blocking& work,
                                   net::worker& on)
    : run_(std::make_shared<const run>(run{std::move(ids), store})), work_(work), worker_(on) {}

messages_in_turn::coming_message messages_in_turn::take_next() {
    if (left() == 0)
        return {};
    auto take = [of = run_, index = next_++] {
        return of->take(index);
    };
    return work_.start(worker_, std::move(take));
}

} // namespace relay
