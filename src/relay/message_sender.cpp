// Promises: a message is removed only after the server's final 2xx; it fails only by a refusal or when the
// session breaks while it is in hand; in every other case it goes back as it was. A crash can repeat a
// delivery, never lose one. What becomes of a message's files is decided in settle() (outgoing.cpp) and
// nowhere else.
#include "relay/message_sender.hpp"

#include "base/text.hpp"

#include <optional>
#include <utility>
#include <variant>

namespace relay {

message_sender::message_sender(const mail::next_hop& to, const client_session_settings& client,
                               const filter_settings& filters, spool::store& store, blocking& work,
                               net::worker& on, const base::logger& log, observer watch)
    : default_(to), client_(client), filter_settings_(filters), store_(store), work_(work), worker_(on),
      log_(log), watch_(watch) {}

message_sender::~message_sender() = default;

bool message_sender::connected() const {
    return connection_ && connection_->connected();
}

std::string message_sender::peer() const {
    return connection_ ? connection_->peer() : std::string();
}

net::awaitable<message_sender::outcome> message_sender::send(outgoing_message message,
                                                             const coming_message* next) {
    std::string id = message.message.id();
    outcome how = co_await carry(std::move(message), next);
    tell(id, how);
    if (how.what == outcome::kind::broken)
        connection_.reset(); // its end is told of after the message's
    co_return how;
}

void message_sender::tell(const std::string& id, const outcome& how) const {
    using result = smtp::message_done::result;
    switch (how.what) {
    case outcome::kind::answered: {
        bool sent = how.done.what == result::sent;
        watch_.count(sent ? counter::messages_sent : counter::messages_failed);
        watch_.event({"client", "sent", id, sent ? std::string_view() : how.done.reason});
        break;
    }
    case outcome::kind::not_connected:
    case outcome::kind::out_of_reach:
        watch_.count(counter::connect_failures);
        watch_.count(counter::messages_put_back);
        break;
    case outcome::kind::broken:
        watch_.count(how.failed ? counter::messages_failed : counter::messages_put_back);
        if (how.failed)
            watch_.event({"client", "sent", id, how.error.what});
        break;
    case outcome::kind::filtered:
        watch_.count(counter::messages_failed);
        watch_.event({"client", "sent", id, "rejected"});
        break;
    case outcome::kind::abandoned:
        watch_.count(counter::messages_put_back);
        watch_.event({"client", "sent", id, "abandoned"});
        break;
    }
}

net::awaitable<message_sender::outcome> message_sender::carry(outgoing_message message,
                                                              const coming_message* next) {
    screening state;
    state.due = !filter_settings_.makers.empty();
    if (state.due && !message.message.envelope().forward_to.empty()) {
        state.due = false;
        co_await screen(filter::kind::routing, message, state);
        if (state.over)
            co_return std::move(*state.over);
    }
    for (;;) {
        auto wanted = route_of(message.message.envelope());
        bool fresh = !connection_ || !(wanted.has_value() && connected_for_ == *wanted);
        if (fresh) {
            auto ready = wanted.has_error() ? base::result<void>(wanted.error()) : base::result<void>();
            if (ready.has_value() && unconnectable_.contains(wanted->address)) {
                log_.verbose("forwarding [{}]: skipping message with unconnectable address [{}]",
                             message.message.id(), base::printable(wanted->address));
                co_await put_back(store_, work_, std::move(message), log_);
                co_return outcome{outcome::kind::out_of_reach};
            }
            if (ready.has_value())
                ready = co_await connect(*wanted, message.message.id(), message.message.envelope().next_best);
            if (ready.has_error())
                co_return co_await not_connected(std::move(message), wanted, ready.error());
        }
        if (fresh && beside_others_) {
            if (auto failed = co_await connection_->begin(message)) {
                connection_.reset();
                co_await put_back(store_, work_, std::move(message), log_);
                co_return outcome{
                    outcome::kind::not_connected, {}, base::error{{}, base::printable(failed->reason)}};
            }
        }
        if (!fresh && !state.screened)
            watch_.event({"client", "sending", message.message.id()});
        std::optional<smtp::session_failed> failed;
        if (state.due) {
            failed = co_await connection_->begin(message);
            if (!failed) {
                state.due = false;
                state.screened = true;
                co_await screen(filter::kind::client, message, state);
                if (state.over)
                    co_return std::move(*state.over);
                continue; // it may have to go somewhere else now
            }
        } else {
            client_session::message_behind behind = [this, next] {
                return may_follow(next);
            };
            client_session::outcome result = co_await connection_->send(message, std::move(behind));
            if (auto* done = std::get_if<smtp::message_done>(&result)) {
                if (done->what == smtp::message_done::result::sent)
                    co_await settle_later(std::move(message), *done);
                else
                    co_await settle(store_, work_, std::move(message), *done, log_);
                outcome sent{outcome::kind::answered, std::move(*done)};
                sent.last = state.last;
                co_return sent;
            }
            failed = std::get<smtp::session_failed>(std::move(result));
        }
        // A connection that has carried mail and is found closed before the next message was begun (servers
        // limit messages per connection) is replaced, once.
        if (!failed->message_in_hand && !fresh && !interrupted_) {
            connection_.reset();
            continue;
        }
        bool has_failed = failed->message_in_hand && !interrupted_;
        if (!has_failed)
            co_await put_back(store_, work_, std::move(message), log_);
        else
            co_await settle(store_, work_, std::move(message), failed_with(failed->reason), log_);
        outcome broken{outcome::kind::broken, {}, base::error{{}, base::printable(failed->reason)}};
        broken.failed = has_failed;
        co_return broken;
    }
}

// The next message, if it is there and nothing is left to be decided about it: a client filter may still
// change where it goes, and whether.
const outgoing_message* message_sender::may_follow(const coming_message* next) const {
    const auto* fetched = next != nullptr ? next->peek() : nullptr;
    if (fetched == nullptr || !*fetched || (*fetched)->has_error() || stopping_ ||
        !filter_settings_.makers.empty())
        return nullptr;
    const outgoing_message& message = ***fetched;
    const auto wanted = route_of(message.message.envelope());
    return wanted.has_value() && *wanted == connected_for_ ? &message : nullptr;
}

// A message's own address that is out of reach concerns nobody but those that go there too.
net::awaitable<message_sender::outcome>
message_sender::not_connected(outgoing_message message, const base::result<route>& wanted, base::error why) {
    std::string address =
        wanted.has_value() ? wanted->address : message.message.envelope().forward_to_address;
    co_await put_back(store_, work_, std::move(message), log_);
    if (address.empty() || stopping_)
        co_return outcome{outcome::kind::not_connected, {}, std::move(why)};
    log_.warning("smtp connection failed: {}", why.message());
    unconnectable_.insert(std::move(address));
    co_return outcome{outcome::kind::out_of_reach, {}, std::move(why)};
}

net::awaitable<void> message_sender::screen(filter::kind what, outgoing_message& message, screening& state) {
    if (!filters_)
        filters_.emplace(filter_settings_, store_, work_, worker_, log_);
    outgoing_filters::verdict verdict = co_await filters_->run(what, message);
    state.last = verdict.last;
    using kind = outgoing_filters::verdict::kind;
    if (interrupted_)
        verdict.what = kind::abandon;
    if (verdict.what == kind::send && message.message.envelope().to_remote.empty()) {
        log_.warning("forwarding [{}]: failing message with no remote recipients", message.message.id());
        verdict.what = kind::fail;
        verdict.done = failed_with("no remote recipients");
    }
    outcome over{outcome::kind::abandoned};
    over.last = verdict.last;
    switch (verdict.what) {
    case kind::send:
        co_return;
    case kind::gone:
    case kind::abandon:
        co_await put_back(store_, work_, std::move(message), log_);
        break;
    case kind::fail:
        over.what = outcome::kind::filtered;
        over.response = std::move(verdict.response);
        co_await settle(store_, work_, std::move(message), std::move(verdict.done), log_);
        break;
    }
    state.over = std::move(over);
}

base::result<message_sender::route> message_sender::route_of(const mail::envelope& envelope) const {
    if (envelope.forward_to_address.empty())
        return route{default_, {}, envelope.client_account_selector};
    auto to = mail::parse_next_hop(envelope.forward_to_address);
    if (to.has_error())
        return to.error();
    return route{std::move(*to), envelope.forward_to_address, envelope.client_account_selector};
}

net::awaitable<base::result<void>> message_sender::connect(const route& wanted, const std::string& id,
                                                           const std::vector<std::string>& next_best) {
    if (connection_) {
        std::string account = wanted.selector.empty() ? std::string()
                                                      : fmt::format(" and account selector [{}]",
                                                                    base::printable(wanted.selector));
        log_.verbose("forwarding [{}]: new connection for [{}]{}", id, base::printable(wanted.address),
                     account);
        co_await end_connection();
    }
    bool announced = false;
    auto connected = co_await connect_to(wanted.to, wanted.selector, id, announced);
    for (const std::string& address : next_best) {
        auto other = mail::parse_next_hop(address);
        if (connected.has_value() || stopping_ || other.has_error())
            break;
        log_.verbose("forwarding [{}]: {}: trying [{}]", id, base::printable(connected.error().message()),
                     address);
        connected = co_await connect_to(std::move(*other), wanted.selector, id, announced);
    }
    if (connected.has_value()) {
        connected_for_ = wanted;
        watch_.event({"client", "connected", connection_->peer()});
    }
    co_return connected;
}

// The first message is announced as soon as there is a connection to wait for.
net::awaitable<base::result<void>> message_sender::connect_to(mail::next_hop to, const std::string& selector,
                                                              const std::string& id, bool& announced) {
    connection_ = std::make_unique<client_session>(client_, work_, worker_, log_);
    connection_->connector().on_resolving = [this](const net::target& whom) {
        watch_.event({"client", "resolving", whom.host + "/" + whom.service + "/ip"});
    };
    connection_->connector().on_connecting = [this, &announced, &id](const std::string& address) {
        watch_.event({"client", "connecting", address});
        if (!std::exchange(announced, true))
            watch_.event({"client", "sending", id});
    };
    auto connected = co_await connection_->connect(std::move(to), selector);
    connection_->connector().on_connecting = nullptr;
    if (connected.has_error())
        connection_.reset();
    co_return connected;
}

// One at a time: if the disk is slower than the next hop, that has to wait.
net::awaitable<void> message_sender::settle_later(outgoing_message message, const smtp::message_done& done) {
    co_await settled();
    auto kept = std::make_shared<outgoing_message>(std::move(message));
    auto change = [&store = store_, log = log_, kept, done] {
        settle_now(store, std::move(*kept), done, log);
    };
    settling_ = work_.start(worker_, std::move(change));
}

net::awaitable<void> message_sender::settled() {
    if (settling_)
        co_await settling_.wait();
}

net::awaitable<void> message_sender::end_connection() {
    if (connection_)
        co_await connection_->quit();
    connection_.reset();
}

net::awaitable<void> message_sender::quit() {
    co_await end_connection();
    co_await settled();
    filters_.reset();
    unconnectable_.clear();
}

void message_sender::drop() {
    connection_.reset();
    filters_.reset();
    unconnectable_.clear();
}

void message_sender::stop_connecting() {
    stopping_ = true;
    if (connection_ && !connection_->connected())
        connection_->interrupt();
}

void message_sender::interrupt() {
    interrupted_ = stopping_ = true;
    if (connection_)
        connection_->interrupt();
    if (filters_)
        filters_->interrupt();
}

} // namespace relay
