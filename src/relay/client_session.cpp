// The client's counterpart of smtp_server.cpp: serves the engine's reads and writes, keeps the time limits,
// streams the content from the spool. No protocol knowledge is here.
#include "relay/client_session.hpp"

#include "base/secret_text.hpp"
#include "relay/tls_log.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <span>
#include <utility>

namespace relay {

using std::chrono::seconds;

client_session::client_session(const client_session_settings& settings, blocking& work, net::worker& on,
                               const base::logger& log)
    : settings_(settings), work_(work), worker_(on), log_(log), connector_(on, settings.from) {}

client_session::~client_session() = default;

net::awaitable<base::result<void>> client_session::connect(mail::next_hop to, std::string selector) {
    smtp::client_account account{{}, std::move(selector), fresh_text};
    if (settings_.logins != nullptr) {
        auto known = co_await settings_.logins->now();
        if (known.has_error())
            co_return known.error();
        account.by = std::move(*known);
    }
    net::target target{to.path, to.near_host(), to.near_service()};
    if (!to.socks_host.empty()) {
        target.far_host = to.host;
        target.far_service = to.service;
    }
    auto opened = co_await connector_.connect(std::move(target), settings_.connection_timeout);
    if (opened.has_error())
        co_return opened.error();
    peer_.emplace(std::move(*opened));
    protocol_ = settings_.protocol;
    const net::endpoint& local = peer_->local();
    if (!local.unix_domain && protocol_.helo_name.find('.') == std::string::npos)
        protocol_.helo_name = local.address;
    const net::endpoint& remote = peer_->peer();
    engine_.emplace(protocol_, log_.with_peer(remote.address, std::to_string(remote.port)));
    engine_->log_in(std::move(account));
    co_return base::result<void>();
}

std::string client_session::peer() const {
    return peer_ ? peer_->peer().display() : std::string();
}

base::logger client_session::log_of(const outgoing_message& message) const {
    const net::endpoint& remote = peer_->peer();
    return log_.with_peer(remote.address, std::to_string(remote.port)).with_message(message.message.id());
}

void client_session::attend_to(const outgoing_message& message) {
    base::logger log = log_of(message);
    if (std::exchange(attended_to_, message.message.id()) != message.message.id())
        log.summary("smtp connection to {}", peer_->peer().display());
    engine_->set_logger(log);
    if (std::exchange(begun_, true))
        notice_end();
}

net::awaitable<std::optional<smtp::session_failed>> client_session::begin(outgoing_message& message) {
    attend_to(message);
    smtp::client_action now = co_await advance(message);
    auto* failed = std::get_if<smtp::session_failed>(&now);
    if (!failed)
        co_return std::nullopt;
    co_return std::move(*failed);
}

net::awaitable<client_session::outcome> client_session::send(outgoing_message& message, message_behind next) {
    attend_to(message);
    next_ = std::move(next);
    bool given = std::exchange(next_has_begun_, false);
    if (given)
        engine_->send(message.message.envelope(), message.message.content_size());
    for (;;) {
        smtp::client_action now = co_await advance(message);
        if (std::holds_alternative<smtp::session_ready>(now) && !given) {
            given = true;
            engine_->send(message.message.envelope(), message.message.content_size());
        } else if (auto* done = std::get_if<smtp::message_done>(&now)) {
            co_return std::move(*done);
        } else if (auto* failed = std::get_if<smtp::session_failed>(&now)) {
            co_return std::move(*failed);
        }
    }
}

// Between two messages nobody reads, so what the peer did meanwhile (a 421, a close) is found out here,
// before the next message is begun and would suffer for it.
void client_session::notice_end() {
    auto buffer = worker_.buffers().take();
    auto n = peer_->read_now(buffer.bytes());
    if (n.has_error())
        lost(n.error(), "ssl read");
    else if (*n > 0)
        engine_->feed(buffer.bytes().first(*n));
}

// Serves the engine's reads and writes until it says something that concerns the message or the session.
net::awaitable<smtp::client_action> client_session::advance(outgoing_message& message) {
    for (;;) {
        smtp::client_action now = engine_->next();
        if (auto* wait = std::get_if<smtp::read_reply>(&now)) {
            co_await exchange(*wait);
        } else if (auto* work = std::get_if<smtp::compute>(&now)) {
            co_await compute(work_, std::move(work->job));
            engine_->computed();
        } else if (auto* want = std::get_if<smtp::read_content>(&now)) {
            co_await supply_content(message, want->at_most);
        } else if (std::holds_alternative<smtp::start_tls>(now)) {
            co_await start_tls();
        } else {
            co_return now;
        }
    }
}

net::awaitable<void> client_session::start_tls() {
    peer_->deadline(net::deadline_after(settings_.connection_timeout));
    auto established = co_await peer_->start_tls(*settings_.tls);
    if (established.has_value()) {
        log_tls_established(log_, peer(), *established);
        engine_->tls_established(*established);
    } else if (net::stream::is_timeout(established.error())) {
        engine_->tls_failed("secure connection timeout");
    } else if (net::stream::is_interrupt(established.error())) {
        engine_->tls_failed("interrupted");
    } else {
        log_tls_error(log_, established.error());
        engine_->tls_failed("peer disconnected: ssl connect");
    }
}

// The connection has failed, or is to end now, or what came over it is not TLS as it should be.
void client_session::lost(const base::error& why, const char* during) {
    if (net::stream::is_interrupt(why))
        return engine_->disconnected("interrupted");
    if (!net::stream::is_tls_failure(why))
        return engine_->disconnected("peer disconnected");
    log_tls_error(log_, why);
    engine_->disconnected(fmt::format("peer disconnected: {}", during));
}

net::awaitable<bool> client_session::write_output() {
    if (!engine_->has_output())
        co_return true;
    std::string bytes = engine_->take_output();
    bool secret = engine_->gave_secret();
    peer_->deadline(net::deadline_after(settings_.response_timeout));
    auto written = co_await peer_->write(bytes);
    if (secret)
        base::wipe(bytes);
    if (!written.has_error())
        co_return true;
    if (net::stream::is_timeout(written.error()))
        engine_->disconnected(
            fmt::format("flow-control timeout after {}s", settings_.response_timeout.count()));
    else
        lost(written.error(), "ssl write");
    co_return false;
}

net::awaitable<void> client_session::exchange(smtp::read_reply wait) {
    bool greeting = wait.limit == smtp::read_reply::wait::greeting;
    seconds limit = greeting ? settings_.prompt_timeout : settings_.response_timeout;
    bool written = co_await write_output();
    if (!written)
        co_return;
    if (!wait.continued)
        reply_deadline_ = net::deadline_after(limit);
    peer_->deadline(reply_deadline_);
    for (;;) {
        auto ready = co_await peer_->readable();
        if (ready.has_error()) {
            if (net::stream::is_timeout(ready.error()))
                engine_->timed_out(static_cast<unsigned>(limit.count()));
            else
                lost(ready.error(), "ssl read");
            co_return;
        }
        auto buffer = worker_.buffers().take();
        auto n = peer_->read_now(buffer.bytes());
        if (n.has_error()) {
            lost(n.error(), "ssl read");
            co_return;
        }
        if (*n > 0) {
            engine_->feed(buffer.bytes().first(*n));
            co_return;
        }
    }
}

net::awaitable<void> client_session::supply_content(outgoing_message& message, std::size_t at_most) {
    if (message.used == message.ahead.size() && !message.all_read) {
        auto read = [&message] {
            return message.read_ahead();
        };
        auto done = co_await work_.run(read);
        if (done.has_error()) {
            engine_->content_failed(done.error().message());
            co_return;
        }
    }
    std::span<const char> left = std::span<const char>(message.ahead).subspan(message.used);
    left = left.first(std::min(left.size(), at_most));
    message.used += left.size();
    bool last = message.all_read && message.used == message.ahead.size();
    engine_->content(left, last);
    if (!last) {
        co_await write_output(); // a failure shows in the engine's next action
        co_return;
    }
    if (const outgoing_message* behind = next_ ? next_() : nullptr)
        begin_behind(*behind, message);
}

// What is said for either stands under its own name in the log.
void client_session::begin_behind(const outgoing_message& next, const outgoing_message& message) {
    engine_->set_logger(log_of(next));
    next_has_begun_ = engine_->follow(next.message.envelope(), next.message.content_size());
    engine_->set_logger(log_of(message));
}

net::awaitable<void> client_session::quit() {
    if (!peer_)
        co_return;
    engine_->quit();
    smtp::client_action over = engine_->next(); // puts QUIT into the output
    (void)over;
    std::string bytes = engine_->take_output();
    peer_->deadline(net::deadline_after(seconds(1)));
    auto written = co_await peer_->write(bytes);
    if (!written.has_error())
        peer_->shutdown_send();
    if (!settings_.linger)
        peer_->reset();
    engine_.reset();
    peer_.reset();
}

void client_session::interrupt() {
    connector_.interrupt();
    if (peer_)
        peer_->abandon();
}

} // namespace relay
