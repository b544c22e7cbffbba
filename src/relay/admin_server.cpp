// One coroutine per connection, and one more while it flushes. What happens elsewhere (events, the end of a
// flush) interrupts the wait for the peer, so that only the session's own coroutine writes.
//
// Promises: a session holds one read buffer, its unwritten output and a bounded queue of events; a peer that
// does not read loses events, and after a while the connection. The end of a connection ends its flush.
#include "relay/admin_server.hpp"

#include <memory>
#include <optional>
#include <utility>
#include <variant>

namespace relay {

using std::chrono::seconds;
using std::chrono::steady_clock;

namespace {

constexpr seconds patience_with_readers{300}; // for output that is not read

std::string_view name_of(spool::message_state state) {
    switch (state) {
    case spool::message_state::ready:
        return "ready";
    case spool::message_state::busy:
        return "busy";
    case spool::message_state::failed:
        return "failed";
    case spool::message_state::held:
        break;
    }
    return "held";
}

spool::message_state state_of(admin::list_messages::which which) {
    switch (which) {
    case admin::list_messages::which::ready:
        return spool::message_state::ready;
    case admin::list_messages::which::failed:
        return spool::message_state::failed;
    case admin::list_messages::which::held:
        break;
    }
    return spool::message_state::held;
}

} // namespace

class admin_session final : private reception::guest {
public:
    admin_session(admin_server& server, net::worker& on, net::stream peer)
        : guest(server.reception_, on), server_(server), services_(server.services_), worker_(on),
          peer_(std::move(peer)),
          log_(server.log_.with_peer(peer_.peer().address, std::to_string(peer_.peer().port))),
          engine_(server.settings_.protocol) {}

    net::awaitable<void> run() {
        services_.watch.count(counter::admin_sessions);
        log_.summary("admin connection from {}", peer_.peer().display());
        while (!over_) {
            admin::action todo = engine_.next();
            co_await act(todo);
        }
        events_ = {};
        co_await write_output(); // a last reply
        co_await end_flush();
        peer_.close();
        log_.summary("admin connection closed: {}{}{}", reason_, reason_.empty() ? "" : ": ",
                     peer_.peer().display());
    }

    void interrupt() override {
        peer_.interrupt();
        if (!flush_)
            return;
        flush_->client.end_run(server_.cut_short_);
    }

private:
    // Owned by its coroutine too, which may be destroyed after the session.
    struct flushing {
        flushing(const forwarder_settings& settings, const admin_services& with, net::worker& on,
                 const base::logger& log)
            : client(settings, with.store, with.work, on, log, with.watch.silent()), ended(on) {}
        forwarder client;
        net::event ended;
        std::optional<run_outcome> outcome;
        admin_session* session = nullptr; // null when it has gone
    };

    net::awaitable<void> act(admin::action& todo) {
        if (std::holds_alternative<admin::read_more>(todo)) {
            co_await exchange();
        } else if (std::holds_alternative<admin::write_output>(todo)) {
            co_await write_output();
            end_if_stopping();
            co_await net::give_way(); // an administrator with that much to ask is not the only one
        } else if (auto* list = std::get_if<admin::list_messages>(&todo)) {
            auto state = state_of(list->what);
            auto job = [this, state] {
                return services_.store.list(state);
            };
            auto ids = co_await services_.work.run(job);
            engine_.listed(std::move(ids));
        } else if (auto* show = std::get_if<admin::show_message>(&todo)) {
            co_await look_at(std::move(show->id));
        } else if (auto* change = std::get_if<admin::change_message>(&todo)) {
            co_await change_message(*change);
        } else if (std::holds_alternative<admin::unfail_all>(todo)) {
            auto job = [this] {
                return services_.store.unfail_all();
            };
            auto done = co_await services_.work.run(job);
            if (done.has_error())
                log_.warning("unfail-all: {}", done.error().message());
            engine_.unfailed();
        } else if (std::holds_alternative<admin::flush_now>(todo)) {
            begin_flush();
        } else if (std::holds_alternative<admin::begin_events>(todo)) {
            begin_events();
        } else if (std::holds_alternative<admin::tell_status>(todo)) {
            engine_.status(status());
        } else if (std::holds_alternative<admin::tell_counters>(todo)) {
            engine_.counters(counters());
        } else if (std::holds_alternative<admin::forward_now>(todo)) {
            services_.forward();
        } else if (auto* smtp = std::get_if<admin::enable_smtp>(&todo)) {
            if (services_.enable_smtp)
                services_.enable_smtp(smtp->on);
        } else if (auto* dnsbl = std::get_if<admin::switch_dnsbl>(&todo)) {
            if (services_.switch_dnsbl)
                services_.switch_dnsbl(dnsbl->on, seconds(dnsbl->off_for));
        } else if (std::holds_alternative<admin::terminate>(todo)) {
            log_.summary("received a terminate command from {}", peer_.peer().display());
            services_.terminate();
        } else if (auto* end = std::get_if<admin::close_session>(&todo)) {
            over_ = true;
            reason_ = end->reason;
        }
    }

    // Output out, then wait for whatever comes first: input, events, the end of a flush, the stop.
    net::awaitable<void> exchange() {
        buffer_.give_back(); // all of it has been consumed
        take_events();
        bool written = co_await write_output();
        if (!written)
            co_return;
        end_if_stopping();
        if (over_ || news_)
            co_return;
        peer_.deadline(net::time_point::max());
        waiting_ = true;
        auto ready = co_await peer_.readable();
        waiting_ = false;
        if (ready.has_error() && net::stream::is_interrupt(ready.error()))
            co_return;
        if (ready.has_error()) {
            gone();
            co_return;
        }
        buffer_ = worker_.buffers().take();
        auto n = peer_.read_now(buffer_.bytes());
        if (n.has_error())
            gone();
        else
            engine_.feed(buffer_.bytes().first(*n));
    }

    void end_if_stopping() {
        if (over_ || flush_ || !server_.reception_.stopping())
            return;
        over_ = true;
        reason_ = "shutdown";
    }

    void gone() {
        over_ = true;
        reason_ = "peer disconnected";
    }

    net::awaitable<bool> write_output() {
        if (!engine_.has_output())
            co_return true;
        std::string output = engine_.take_output();
        peer_.deadline(steady_clock::now() + patience_with_readers);
        auto written = co_await peer_.write(output);
        if (written.has_error())
            gone();
        co_return !written.has_error();
    }

    // Something has happened: the session is to look.
    void wake() {
        news_ = true;
        if (waiting_)
            peer_.interrupt();
    }

    void begin_events() {
        if (services_.watch.events && !events_)
            events_ = services_.watch.events->subscribe(worker_, [this] { wake(); });
    }

    void take_events() {
        news_ = false;
        if (events_) {
            auto taken = events_.take();
            if (taken.lost != 0)
                log_.warning("admin: too many events: {} dropped", taken.lost);
            for (const std::string& text : taken.events)
                engine_.event(text);
        }
        if (flush_ && flush_->outcome) {
            const run_outcome& how = *flush_->outcome;
            engine_.flush_ended(how.no_messages ? "no messages to send" : how.error);
            flush_.reset();
        }
    }

    void begin_flush() {
        flush_ = std::make_shared<flushing>(*services_.forwarding, services_, worker_, server_.log_);
        flush_->session = this;
        net::spawn(worker_, flush_all(flush_), log_, "flush");
    }

    static net::awaitable<void> flush_all(std::shared_ptr<flushing> mine) {
        mine->outcome = co_await mine->client.run(run_reason::admin);
        mine->ended.notify();
        if (mine->session)
            mine->session->wake();
    }

    // The message in hand goes back at once.
    net::awaitable<void> end_flush() {
        if (!flush_)
            co_return;
        auto mine = flush_;
        mine->session = nullptr;
        mine->client.end_run(true);
        while (!mine->outcome)
            co_await mine->ended.wait();
    }

    net::awaitable<void> look_at(std::string id) {
        auto job = [this, &id]() -> base::result<admin::message_details> {
            auto report = services_.store.look_at(id);
            if (report.has_error())
                return report.error();
            return admin::message_details{id,
                                          std::string(name_of(report->state)),
                                          std::move(report->envelope),
                                          std::move(report->extra),
                                          report->content_size,
                                          std::move(report->beginning),
                                          std::move(report->problem)};
        };
        auto details = co_await services_.work.run(job);
        engine_.shown(details);
    }

    net::awaitable<void> change_message(const admin::change_message& wanted) {
        auto job = [this, &wanted] {
            using to = admin::change_message::to;
            spool::store& store = services_.store;
            switch (wanted.what) {
            case to::unfail:
                return store.unfail(wanted.id);
            case to::remove:
                return store.remove(wanted.id);
            case to::hold:
                return store.hold(wanted.id);
            case to::release:
                break;
            }
            return store.let_go(wanted.id);
        };
        auto outcome = co_await services_.work.run(job);
        engine_.changed(outcome);
    }

    admin::status_report status() const {
        auto connections = [](const std::vector<net::activity::connection>& from) {
            std::vector<admin::status_report::connection> out;
            for (const auto& c : from)
                out.push_back({c.local, c.peer});
            return out;
        };
        net::activity::state now = services_.network.now();
        return {std::move(now.listening), now.in_started,      now.in_finished,     now.out_started,
                now.out_finished,         connections(now.in), connections(now.out)};
    }

    std::vector<admin::counter> counters() const {
        std::vector<admin::counter> all;
        if (!services_.watch.counts)
            return all;
        auto sums = services_.watch.counts->sums();
        for (std::size_t i = 0; i < sums.size(); ++i)
            all.push_back({relay::name_of(static_cast<counter>(i)), sums[i]});
        return all;
    }

    admin_server& server_;
    const admin_services& services_;
    net::worker& worker_;
    net::stream peer_;
    base::logger log_;
    admin::server_engine engine_;
    net::buffer_pool::loan buffer_;
    net::event_bus::subscription events_;
    std::shared_ptr<flushing> flush_;
    bool waiting_ = false; // for input
    bool news_ = false;    // events, or the end of a flush
    bool over_ = false;
    std::string reason_;
};

constexpr protocol_words admin_words{"admin", "error: too many connections\n"};

admin_server::admin_server(admin_server_settings settings, admin_services services,
                           net::worker_group& workers, base::logger log)
    : settings_(std::move(settings)), services_(std::move(services)), log_(log),
      reception_(admin_words, settings_.door, workers, std::move(log),
                 [this](net::worker& on, net::stream peer) { return serve(on, std::move(peer)); }) {}

void admin_server::cut_short() {
    cut_short_ = true;
    reception_.stop_sessions();
}

net::awaitable<void> admin_server::serve(net::worker& on, net::stream peer) {
    admin_session session(*this, on, std::move(peer));
    co_await session.run();
}

} // namespace relay
