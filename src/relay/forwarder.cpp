// Reads downwards: serve() waits for a reason and calls run(); run() lists the spool and calls forward_all();
// that takes one message after the other, connects when the first one needs it, and send()s. What becomes of
// a message's files is decided in settle() and nowhere else.
//
// Promises: a message is removed only after the server's final 2xx; it fails only by a refusal or when the
// session breaks while it is in hand; in every other case it goes back as it was. A crash can repeat a
// delivery, never lose one.
#include "relay/forwarder.hpp"

#include "base/text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <span>

namespace relay {

using std::chrono::seconds;
using std::chrono::steady_clock;

namespace {

constexpr std::size_t piece = 64 * 1024;      // content octets read at a time
constexpr std::size_t announced_at_once = 64; // claims made durable by one flush

std::string_view text_of(run_reason why) {
    switch (why) {
    case run_reason::startup:
        return "startup";
    case run_reason::poll:
        return "poll";
    case run_reason::admin:
        return "admin";
    case run_reason::client_disconnect:
        return "client disconnect";
    case run_reason::rescan:
        return "rescan";
    }
    return "rescan";
}

net::time_point after(seconds limit) {
    return limit.count() > 0 ? steady_clock::now() + limit : net::time_point::max();
}

} // namespace

// The session with the next hop; kept for one run.
struct forwarder::connection {
    connection(net::stream s, smtp::client_settings p, const base::logger& log)
        : peer(std::move(s)), protocol(std::move(p)), engine(protocol, log) {}

    net::stream peer;
    smtp::client_settings protocol;
    smtp::client_engine engine;
    net::time_point reply_deadline{};
};

// A message in hand and the beginning of its content, read by the same trip to the disk.
struct forwarder::taken {
    spool::claimed_message message;
    std::vector<char> ahead; // content octets read and not yet sent
    std::size_t used = 0;    // of those
    bool all_read = false;

    // [blocks] The next piece.
    base::result<void> read_ahead() {
        ahead.resize(std::min<std::uint64_t>(piece, message.content_size() + 1));
        used = 0;
        std::size_t have = 0;
        while (have < ahead.size()) {
            auto n = message.read(std::span<char>(ahead).subspan(have));
            if (n.has_error())
                return n.error();
            if (*n == 0) {
                all_read = true;
                break;
            }
            have += *n;
        }
        ahead.resize(have);
        return {};
    }
};

forwarder::forwarder(forwarder_settings settings, spool::store& store, blocking& work, net::worker& on,
                     base::logger log)
    : settings_(std::move(settings)), store_(store), work_(work), worker_(on), log_(std::move(log)),
      connector_(on, settings_.from), wake_(on) {}

forwarder::~forwarder() = default;

void forwarder::start() {
    worker_.post([this] {
        net::spawn(worker_, serve(), log_, "forwarding");
        if (settings_.poll.count() > 0)
            net::spawn(worker_, poll(), log_, "polling");
    });
}

void forwarder::request(run_reason why) {
    worker_.post([this, why] { note_request(why); });
}

void forwarder::note_request(run_reason why) {
    if (stopping_)
        return;
    if (running_) {
        std::string where =
            connection_ ? ": connected to " + connection_->peer.peer().display() : std::string();
        log_.verbose("forwarding: [{}]: still busy from last time{}", text_of(why), where);
        if (requested_)
            return;
        log_.verbose("forwarding: queued request [{}]", text_of(why));
    }
    if (!requested_)
        requested_ = why;
    wake_.notify();
}

void forwarder::stop(std::function<void()> ended) {
    worker_.post([this, done = std::move(ended)] {
        stopping_ = true;
        ended_ = done;
        wake_.notify();
        connector_.interrupt();
    });
}

void forwarder::cut_short() {
    worker_.post([this] {
        cut_short_ = true;
        if (connection_)
            connection_->peer.interrupt();
    });
}

void forwarder::check_name() {
    if (settings_.to.path.empty() && !net::is_ip_literal(settings_.to.host))
        worker_.post([this] { net::spawn(worker_, look_up_name(), log_, "lookup"); });
}

net::awaitable<void> forwarder::look_up_name() {
    auto found =
        co_await worker_.names().look_up(settings_.to.host, settings_.to.service, net::address_family::any,
                                         after(settings_.connection_timeout));
    if (found.has_value())
        co_return;
    std::string why = found.error().message();
    constexpr std::string_view prefix = "dns error: ";
    if (why.starts_with(prefix))
        why.erase(0, prefix.size());
    log_.warning("dns lookup of forward-to address failed: {}", why);
}

net::awaitable<void> forwarder::poll() {
    while (!stopping_) {
        co_await net::sleep_for(settings_.poll);
        note_request(run_reason::poll);
    }
}

net::awaitable<void> forwarder::serve() {
    while (!stopping_) {
        if (!requested_) {
            co_await wake_.wait();
            continue;
        }
        running_ = requested_;
        requested_.reset();
        run_outcome outcome = co_await run(*running_);
        running_.reset();
        if (run_ended)
            run_ended(outcome);
    }
    if (ended_)
        ended_();
}

net::awaitable<run_outcome> forwarder::run(run_reason why) {
    // Frequent polling is not worth a line each time.
    bool quiet = why == run_reason::poll && settings_.poll <= seconds(60);
    auto list = [this] {
        return store_.ready();
    };
    auto ids = co_await work_.run(list);
    if (ids.has_error()) {
        log_.warning("forwarding: {}", ids.error().message());
        co_return run_outcome{false, ids.error().message()};
    }
    if (!quiet)
        log_.verbose("forwarding: [{}]", text_of(why));
    if (ids->empty()) {
        if (!quiet)
            log_.verbose("forwarding: no messages to send");
        co_return run_outcome{true, {}};
    }
    auto all = co_await forward_all(std::move(*ids));
    co_await close_connection();
    if (all.has_error()) {
        log_.warning("smtp client error: {}", all.error().message());
        co_return run_outcome{false, all.error().message()};
    }
    log_.verbose("forwarding: no more messages to send");
    co_return run_outcome{};
}

net::awaitable<base::result<void>> forwarder::forward_all(std::vector<std::string> ids) {
    for (std::size_t i = 0; i < ids.size() && !stopping_; ++i) {
        if (i % announced_at_once == 0) {
            std::span<const std::string> soon(&ids[i], std::min(announced_at_once, ids.size() - i));
            auto announce = [this, soon] {
                store_.announce(soon);
                return true;
            };
            co_await work_.run(announce);
        }
        auto message = co_await take(ids[i]);
        if (message.has_error())
            continue; // the store has said why
        if (message->message.envelope().to_remote.empty()) {
            log_.warning("forwarding [{}]: failing message with no remote recipients", ids[i]);
            co_await settle(std::move(*message),
                            {smtp::message_done::result::failed, "no remote recipients", std::nullopt, {}});
            continue;
        }
        auto sent = co_await deliver(std::move(*message));
        if (sent.has_error())
            co_return sent;
    }
    co_return base::result<void>();
}

// One message over the connection that is open, or over a new one. A connection that has carried mail and is
// found closed before the next message was begun (servers limit messages per connection) is replaced, once.
net::awaitable<base::result<void>> forwarder::deliver(taken message) {
    for (;;) {
        bool fresh = !connection_;
        if (fresh) {
            auto connected = co_await open_connection();
            if (connected.has_error()) {
                co_await put_back(std::move(message));
                co_return connected;
            }
        }
        std::optional<smtp::session_failed> broken = co_await send(message);
        if (!broken)
            co_return base::result<void>(); // settled
        connection_.reset();
        bool untouched = !broken->message_in_hand || cut_short_;
        if (untouched && !fresh && !cut_short_)
            continue;
        if (untouched)
            co_await put_back(std::move(message));
        else
            co_await settle(std::move(message),
                            {smtp::message_done::result::failed, broken->reason, std::nullopt, {}});
        co_return base::error{{}, base::printable(broken->reason)};
    }
}

net::awaitable<base::result<forwarder::taken>> forwarder::take(std::string id) {
    auto claim = [this, &id]() -> base::result<taken> {
        auto message = store_.claim(id);
        if (message.has_error())
            return message.error();
        taken out{std::move(*message), {}, 0, false};
        auto read = out.read_ahead();
        if (read.has_error())
            return read.error();
        return out;
    };
    auto message = co_await work_.run(claim);
    if (message)
        log_.verbose("forwarding [{}]", id);
    co_return std::move(message);
}

net::awaitable<base::result<void>> forwarder::open_connection() {
    net::target to{settings_.to.path, settings_.to.host, settings_.to.service};
    auto opened = co_await connector_.connect(std::move(to), settings_.connection_timeout);
    if (opened.has_error())
        co_return opened.error();
    smtp::client_settings protocol = settings_.protocol;
    const net::endpoint& local = opened->local();
    if (!local.unix_domain && protocol.helo_name.find('.') == std::string::npos)
        protocol.helo_name = local.address;
    const net::endpoint& peer = opened->peer();
    base::logger log = log_.with_peer(peer.address, std::to_string(peer.port));
    connection_ = std::make_unique<connection>(std::move(*opened), std::move(protocol), log);
    co_return base::result<void>();
}

// Nothing when the message has been settled, else how the session broke.
net::awaitable<std::optional<smtp::session_failed>> forwarder::send(taken& message) {
    connection& to = *connection_;
    base::logger log = log_.with_peer(to.peer.peer().address, std::to_string(to.peer.peer().port))
                           .with_message(message.message.id());
    log.summary("smtp connection to {}", to.peer.peer().display());
    to.engine.set_logger(log);
    bool given = false;
    for (;;) {
        smtp::client_action now = co_await advance(message);
        if (std::holds_alternative<smtp::session_ready>(now) && !given) {
            given = true;
            to.engine.send(message.message.envelope(), message.message.content_size());
        } else if (auto* done = std::get_if<smtp::message_done>(&now)) {
            co_await settle(std::move(message), std::move(*done));
            co_return std::nullopt;
        } else if (auto* failed = std::get_if<smtp::session_failed>(&now)) {
            co_return std::move(*failed);
        }
    }
}

// Serves the engine's reads and writes until it says something that concerns the message or the session.
net::awaitable<smtp::client_action> forwarder::advance(taken& message) {
    smtp::client_engine& engine = connection_->engine;
    for (;;) {
        smtp::client_action now = engine.next();
        if (auto* wait = std::get_if<smtp::read_reply>(&now)) {
            co_await exchange(*wait);
        } else if (auto* want = std::get_if<smtp::read_content>(&now)) {
            co_await supply_content(message, want->at_most);
        } else {
            co_return now;
        }
    }
}

net::awaitable<bool> forwarder::write_output() {
    connection& to = *connection_;
    if (!to.engine.has_output())
        co_return true;
    std::string bytes = to.engine.take_output();
    to.peer.deadline(after(settings_.response_timeout));
    auto written = co_await to.peer.write(bytes);
    if (!written.has_error())
        co_return true;
    if (net::stream::is_timeout(written.error()))
        to.engine.disconnected(
            fmt::format("flow-control timeout after {}s", settings_.response_timeout.count()));
    else
        to.engine.disconnected("peer disconnected");
    co_return false;
}

net::awaitable<void> forwarder::exchange(const smtp::read_reply& wait) {
    connection& to = *connection_;
    seconds limit = wait.limit == smtp::read_reply::wait::greeting ? settings_.prompt_timeout
                                                                   : settings_.response_timeout;
    bool continued = wait.continued;
    bool written = co_await write_output();
    if (!written)
        co_return;
    if (!continued)
        to.reply_deadline = after(limit);
    to.peer.deadline(to.reply_deadline);
    for (;;) {
        auto ready = co_await to.peer.readable();
        if (ready.has_error()) {
            if (net::stream::is_timeout(ready.error()))
                to.engine.timed_out(static_cast<unsigned>(limit.count()));
            else
                to.engine.disconnected("peer disconnected");
            co_return;
        }
        auto buffer = worker_.buffers().take();
        auto n = to.peer.read_now(buffer.bytes());
        if (n.has_error()) {
            to.engine.disconnected("peer disconnected");
            co_return;
        }
        if (*n > 0) {
            to.engine.feed(buffer.bytes().first(*n));
            co_return;
        }
    }
}

net::awaitable<void> forwarder::supply_content(taken& message, std::size_t at_most) {
    connection& to = *connection_;
    if (message.used == message.ahead.size() && !message.all_read) {
        auto read = [&message] {
            return message.read_ahead();
        };
        auto done = co_await work_.run(read);
        if (done.has_error()) {
            to.engine.content_failed(done.error().message());
            co_return;
        }
    }
    std::span<const char> left = std::span<const char>(message.ahead).subspan(message.used);
    left = left.first(std::min(left.size(), at_most));
    message.used += left.size();
    to.engine.content(left, message.all_read && message.used == message.ahead.size());
    bool last = message.all_read && message.used == message.ahead.size();
    if (!last)
        co_await write_output(); // a failure shows in the engine's next action
}

net::awaitable<void> forwarder::put_back(taken message) {
    std::string id = message.message.id();
    auto release = [this, &message] {
        return store_.release(std::move(message.message));
    };
    auto released = co_await work_.run(release);
    if (released.has_error())
        log_.warning("forwarding [{}]: {}", id, released.error().message());
}

// The one place that decides what becomes of a message's files.
net::awaitable<void> forwarder::settle(taken message, smtp::message_done outcome) {
    std::string id = message.message.id();
    auto apply = [this, &message, &outcome]() -> base::result<void> {
        spool::claimed_message m = std::move(message.message);
        switch (outcome.what) {
        case smtp::message_done::result::sent:
            return store_.finish(std::move(m));
        case smtp::message_done::result::sent_to_some:
            return store_.fail_partly(std::move(m), outcome.refused, outcome.reason, outcome.code);
        case smtp::message_done::result::refused:
        case smtp::message_done::result::failed:
            break;
        }
        return store_.fail(std::move(m), outcome.reason, outcome.code);
    };
    auto settled = co_await work_.run(apply);
    if (settled.has_error())
        log_.warning("forwarding [{}]: {}", id, settled.error().message());
}

// QUIT is sent, its reply not awaited.
net::awaitable<void> forwarder::close_connection() {
    if (!connection_)
        co_return;
    connection& to = *connection_;
    to.engine.quit();
    to.peer.deadline(after(seconds(1)));
    smtp::client_action over = to.engine.next(); // puts QUIT into the output
    (void)over;
    std::string bytes = to.engine.take_output();
    auto written = co_await to.peer.write(bytes);
    if (!written.has_error())
        to.peer.shutdown_send();
    if (!settings_.linger)
        to.peer.reset();
    connection_.reset();
}

} // namespace relay
