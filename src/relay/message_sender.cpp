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
                               spool::store& store, blocking& work, net::worker& on, const base::logger& log,
                               observer watch)
    : default_(to), client_(client), store_(store), work_(work), worker_(on), log_(log), watch_(watch) {}

message_sender::~message_sender() = default;

bool message_sender::connected() const {
    return connection_ && connection_->connected();
}

std::string message_sender::peer() const {
    return connection_ ? connection_->peer() : std::string();
}

net::awaitable<message_sender::outcome> message_sender::send(outgoing_message message) {
    std::string id = message.message.id();
    outcome how = co_await carry(std::move(message));
    tell(id, how);
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
        watch_.count(counter::connect_failures);
        watch_.count(counter::messages_put_back);
        break;
    case outcome::kind::broken:
        watch_.count(how.failed ? counter::messages_failed : counter::messages_put_back);
        if (how.failed)
            watch_.event({"client", "sent", id, how.error.what});
        break;
    }
}

net::awaitable<message_sender::outcome> message_sender::carry(outgoing_message message) {
    auto wanted = route_of(message.message.envelope());
    for (;;) {
        bool fresh = !connection_ || !(wanted.has_value() && connected_for_ == *wanted);
        if (fresh) {
            auto ready = wanted.has_error() ? base::result<void>(wanted.error()) : base::result<void>();
            if (ready.has_value())
                ready = co_await connect(*wanted, message.message.id());
            if (ready.has_error()) {
                co_await put_back(store_, work_, std::move(message), log_);
                co_return outcome{outcome::kind::not_connected, {}, ready.error()};
            }
        }
        if (!fresh)
            watch_.event({"client", "sending", message.message.id()});
        client_session::outcome result = co_await connection_->send(message);
        if (auto* done = std::get_if<smtp::message_done>(&result)) {
            co_await settle(store_, work_, std::move(message), *done, log_);
            co_return outcome{outcome::kind::answered, std::move(*done), {}};
        }
        connection_.reset();
        const auto& broken = std::get<smtp::session_failed>(result);
        // A connection that has carried mail and is found closed before the next message was begun (servers
        // limit messages per connection) is replaced, once.
        if (!broken.message_in_hand && !fresh && !interrupted_)
            continue;
        bool failed = broken.message_in_hand && !interrupted_;
        if (!failed)
            co_await put_back(store_, work_, std::move(message), log_);
        else
            co_await settle(store_, work_, std::move(message), failed_with(broken.reason), log_);
        co_return outcome{outcome::kind::broken, {}, base::error{{}, base::printable(broken.reason)}, failed};
    }
}

base::result<message_sender::route> message_sender::route_of(const mail::envelope& envelope) const {
    if (envelope.forward_to_address.empty())
        return route{default_, {}, envelope.client_account_selector};
    auto to = mail::parse_next_hop(envelope.forward_to_address);
    if (to.has_error())
        return to.error();
    return route{std::move(*to), envelope.forward_to_address, envelope.client_account_selector};
}

net::awaitable<base::result<void>> message_sender::connect(const route& wanted, const std::string& id) {
    if (connection_) {
        std::string account = wanted.selector.empty() ? std::string()
                                                      : fmt::format(" and account selector [{}]",
                                                                    base::printable(wanted.selector));
        log_.verbose("forwarding [{}]: new connection for [{}]{}", id, base::printable(wanted.address),
                     account);
        co_await quit();
    }
    connection_ = std::make_unique<client_session>(client_, work_, worker_, log_);
    // The first message is announced as soon as there is a connection to wait for.
    bool announced = false;
    connection_->connector().on_resolving = [this](const net::target& to) {
        watch_.event({"client", "resolving", to.host + "/" + to.service + "/ip"});
    };
    connection_->connector().on_connecting = [this, &announced, &id](const std::string& address) {
        watch_.event({"client", "connecting", address});
        if (!std::exchange(announced, true))
            watch_.event({"client", "sending", id});
    };
    auto connected = co_await connection_->connect(wanted.to);
    connection_->connector().on_connecting = nullptr;
    if (connected.has_error())
        connection_.reset();
    else {
        connected_for_ = wanted;
        watch_.event({"client", "connected", connection_->peer()});
    }
    co_return connected;
}

net::awaitable<void> message_sender::quit() {
    if (connection_)
        co_await connection_->quit();
    connection_.reset();
}

void message_sender::drop() {
    connection_.reset();
}

void message_sender::stop_connecting() {
    if (connection_ && !connection_->connected())
        connection_->interrupt();
}

void message_sender::interrupt() {
    interrupted_ = true;
    if (connection_)
        connection_->interrupt();
}

} // namespace relay
