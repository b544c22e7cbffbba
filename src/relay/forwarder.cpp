// Reads downwards: serve() waits for a reason and calls run(); run() looks at what is ready and calls
// forward_all(); that takes one message after the other and deliver()s it, by way of a message_sender.
#include "relay/forwarder.hpp"

#include "base/text.hpp"
#include "relay/messages_in_turn.hpp"

#include <algorithm>
#include <utility>

namespace relay {

using std::chrono::seconds;

namespace {

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

// An administrator who asks wants to be sure; and now and then so do we.
spool::look how_to_look(run_reason why) {
    switch (why) {
    case run_reason::admin:
        return spool::look::at_the_directory;
    case run_reason::poll:
        return spool::look::now_and_then;
    case run_reason::startup:
    case run_reason::client_disconnect:
    case run_reason::rescan:
        break;
    }
    return spool::look::at_changes;
}

} // namespace

forwarder::forwarder(forwarder_settings settings, spool::store& store, blocking& work, net::worker& on,
                     base::logger log, observer watch)
    : settings_(std::move(settings)), store_(store), work_(work), worker_(on), log_(std::move(log)),
      watch_(watch), wake_(on) {
    for (unsigned i = 0; i < std::max(settings_.connections, 1U); ++i)
        senders_.push_back(std::make_unique<message_sender>(settings_.to, settings_.client, settings_.filters,
                                                            store_, work_, worker_, log_, watch));
    for (std::size_t i = 1; i < senders_.size(); ++i)
        senders_[i]->beside_others();
}

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
            first_sender().connected() ? ": connected to " + first_sender().peer() : std::string();
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
        ended_ = done;
        wake_.notify();
        end_run(false);
    });
}

void forwarder::cut_short() {
    worker_.post([this] { end_run(true); });
}

void forwarder::end_run(bool at_once) {
    stopping_ = true;
    cut_short_ = cut_short_ || at_once;
    for (const auto& sender : senders_) {
        if (at_once)
            sender->interrupt();
        else
            sender->stop_connecting();
    }
}

void forwarder::check_name() {
    if (settings_.to.path.empty() && !net::is_ip_literal(settings_.to.near_host()))
        worker_.post([this] { net::spawn(worker_, look_up_name(), log_, "lookup"); });
}

net::awaitable<void> forwarder::look_up_name() {
    net::time_point limit = net::deadline_after(settings_.client.connection_timeout);
    auto found = co_await worker_.names().look_up(settings_.to.near_host(), settings_.to.near_service(),
                                                  net::address_family::any, limit);
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
    run_outcome outcome = co_await run_through(why);
    watch_.event({"client", "forward", "end",
                  outcome.no_messages ? std::string_view("no messages") : std::string_view(outcome.error)});
    co_return outcome;
}

net::awaitable<run_outcome> forwarder::run_through(run_reason why) {
    // Frequent polling is not worth a line each time, unless everything is asked for.
    bool frequent = why == run_reason::poll && settings_.poll <= seconds(60);
    auto say = [&](std::string_view text) {
        if (frequent)
            log_.extra("forwarding: {}", text);
        else
            log_.verbose("forwarding: {}", text);
    };
    auto look = [this, why] {
        return store_.ready(how_to_look(why));
    };
    auto ready = co_await work_.run(look);
    if (ready.has_error()) {
        log_.warning("forwarding: {}", ready.error().message());
        co_return run_outcome{false, ready.error().message()};
    }
    say(fmt::format("[{}]", text_of(why)));
    if (ready->count() == 0) {
        say("no messages to send");
        co_return run_outcome{true, {}};
    }
    run_ends_ = false;
    watch_.count(counter::forwarding_runs);
    watch_.event({"client", "forward", "start", text_of(why)});
    auto all = co_await forward_all(std::move(*ready));
    if (all.has_error()) {
        if (cut_short_)
            log_.verbose("forwarding: interrupted");
        else
            log_.warning("smtp client error: {}", all.error().message());
        co_return run_outcome{false, all.error().message()};
    }
    log_.verbose("forwarding: no more messages to send");
    co_return run_outcome{};
}

struct forwarder::run_state {
    run_state(messages_in_turn all, net::worker& on) : messages(std::move(all)), helper_ended(on) {}

    messages_in_turn messages;
    base::result<void> outcome; // an error ends the run
    bool helped = false;        // by all that there are
    std::size_t helpers = 0;    // at work
    net::event helper_ended;
};

// More connections than one are made only when the first has carried a message: a next hop out of reach is
// not tried many times at once.
net::awaitable<base::result<void>> forwarder::forward_all(spool::ready_messages messages) {
    run_state run(messages_in_turn(std::move(messages), store_, work_, worker_), worker_);
    co_await work_through(run, first_sender());
    while (run.helpers > 0)
        co_await run.helper_ended.wait();
    co_return run.outcome;
}

// An error of the first connection ends the run, that of another one its own part in it: the next hop may
// allow fewer connections.
//
// While one message is sent the next one is fetched, so that neither disk nor network waits for the other;
// but only over a connection that has been made, lest messages are claimed for nothing.
net::awaitable<void> forwarder::work_through(run_state& run, message_sender& by) {
    const bool leads = &by == &first_sender();
    bool given_up = false;
    auto over = [&] {
        return given_up || run.outcome.has_error() || stopping_ || run_ends_;
    };
    auto coming = run.messages.take_next();
    while (coming) {
        auto next = co_await coming.wait();
        if (!next)
            break;
        base::result<outgoing_message> message = std::move(*next);
        if (over()) {
            if (message.has_value())
                co_await put_back(store_, work_, std::move(*message), log_);
            break;
        }
        if (message.has_value()) {
            log_taken(message->message);
            if (by.connected())
                coming = run.messages.take_next();
            auto delivered = co_await deliver(std::move(*message), by, coming);
            given_up = delivered.has_error();
            if (given_up && leads)
                run.outcome = delivered;
            else if (given_up)
                log_.warning("smtp client error: {}", delivered.error().message());
        }
        if (leads && by.connected() && !over())
            call_helpers(run);
        if (!coming && !over())
            coming = run.messages.take_next();
    }
    co_await by.quit();
}

void forwarder::call_helpers(run_state& run) {
    for (std::size_t i = 1; i < senders_.size() && run.messages.left() > 0 && !run.helped; ++i) {
        ++run.helpers;
        net::spawn(worker_, help(run, *senders_[i]), log_, "forwarding");
    }
    run.helped = true;
}

net::awaitable<void> forwarder::help(run_state& run, message_sender& by) {
    co_await work_through(run, by);
    --run.helpers;
    run.helper_ended.notify();
}

void forwarder::log_taken(const spool::claimed_message& message) const {
    if (!log_.wants_verbose())
        return;
    const mail::envelope& e = message.envelope();
    auto part = [](std::string_view name, const std::string& value) {
        return value.empty() ? std::string() : fmt::format(" {}=[{}]", name, base::printable(value));
    };
    log_.verbose("forwarding [{}]{}{}{}", message.id(), part("selector", e.client_account_selector),
                 part("forward-to", e.forward_to), part("forward-to-address", e.forward_to_address));
}

// An error ends the run.
net::awaitable<base::result<void>> forwarder::deliver(outgoing_message message, message_sender& by,
                                                      const coming_message& next) {
    std::string id = message.message.id();
    if (message.message.envelope().to_remote.empty()) {
        log_.warning("forwarding [{}]: failing message with no remote recipients", id);
        co_await settle(store_, work_, std::move(message), failed_with("no remote recipients"), log_);
        watch_.count(counter::messages_failed);
        co_return base::result<void>();
    }
    message_sender::outcome sent = co_await by.send(std::move(message), &next);
    run_ends_ = run_ends_ || sent.last;
    using kind = message_sender::outcome::kind;
    if (sent.what == kind::not_connected || sent.what == kind::broken)
        co_return sent.error;
    co_return base::result<void>();
}

} // namespace relay
