// One coroutine per connection. The engine says what to do; this file does it. A session's memory is bounded
// by one read buffer, one piece of output, one piece of content, and the list of its mailbox.
#include "relay/pop_server.hpp"

#include "base/text.hpp"
#include "os/memory.hpp"
#include "relay/client_connection.hpp"
#include "relay/login_material.hpp"
#include "spool/mailbox.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <utility>
#include <variant>
#include <vector>

namespace relay {

using std::chrono::seconds;
using std::chrono::steady_clock;

namespace {

constexpr std::size_t content_piece = 32 * 1024;
constexpr std::size_t most_messages = 1'000'000; // of one mailbox, that are shown

} // namespace

class pop_session final : private reception::guest {
public:
    pop_session(pop_server& server, net::worker& on, net::stream peer, sasl::server logins)
        : guest(server.reception_, on), server_(server), services_(server.services_), worker_(on),
          client_(on, std::move(peer), {server.settings_.idle_timeout, server.settings_.command_timeout},
                  server.log_),
          wake_(on), log_(client_.log()), engine_(server.settings_.protocol,
                                                  {std::move(logins),
                                                   [domain = server.settings_.domain] {
                                                       return "<" + fresh_text() + "@" + domain + ">";
                                                   }},
                                                  client_.peer().display(), log_) {}

    ~pop_session() override { give_back_buffer(); }

    net::awaitable<void> run() {
        services_.watch.count(counter::pop_sessions);
        log_.summary("pop connection from {}", client_.peer().display());
        if (server_.settings_.tls_from_the_start)
            co_await start_tls();
        if (reason_.empty())
            engine_.start();
        while (reason_.empty()) {
            pop::action todo = engine_.next();
            co_await act(todo);
        }
        client_.stream().close();
        log_.summary("pop connection closed: {}: {}", reason_, client_.peer().display());
    }

    void interrupt() override {
        wake_.notify();
        client_.stream().interrupt();
    }

private:
    net::awaitable<void> act(pop::action& todo) {
        if (std::holds_alternative<pop::read_more>(todo)) {
            co_await exchange();
        } else if (std::holds_alternative<pop::write_output>(todo)) {
            co_await write_output();
            co_await net::give_way(); // a large message is not the only work
        } else if (std::holds_alternative<pop::read_content>(todo)) {
            co_await read_content();
        } else if (auto* message = std::get_if<pop::open_message>(&todo)) {
            co_await open_message(std::move(message->id));
        } else if (auto* mailbox = std::get_if<pop::open_mailbox>(&todo)) {
            co_await open_mailbox(std::move(mailbox->user));
        } else if (auto* messages = std::get_if<pop::delete_messages>(&todo)) {
            co_await delete_messages(std::move(messages->ids));
        } else if (std::holds_alternative<pop::start_tls>(todo)) {
            give_back_buffer(); // with what came in clear behind the command
            co_await write_output();
            if (reason_.empty())
                co_await start_tls();
        } else if (auto* password = std::get_if<pop::check_password>(&todo)) {
            sasl::ask_password asked = std::move(password->asked);
            auto verdict = co_await services_.logins.ask(worker_, wake_, std::move(asked), log_);
            engine_.password_checked(verdict);
        } else if (auto* work = std::get_if<pop::compute>(&todo)) {
            co_await compute(services_.work, std::move(work->job));
            engine_.computed();
        } else if (auto* wait = std::get_if<pop::wait_a_while>(&todo)) {
            services_.watch.count(counter::pop_failed_logins);
            co_await wait_a_while(wait->time);
        } else if (auto* end = std::get_if<pop::close_session>(&todo)) {
            reason_ = end->reason;
            if (!end->abort)
                co_await say_goodbye();
        }
    }

    // Output out, then the next octets in.
    net::awaitable<void> exchange() {
        give_back_buffer(); // all of it has been consumed
        drop_content();     // TOP may have left some
        co_await write_output();
        if (!reason_.empty())
            co_return;
        if (server_.reception_.stopping()) {
            engine_.end_session("service shutting down", "shutdown");
            co_return;
        }
        using kind = client_connection::received::kind;
        const client_connection::command_progress progress{engine_.in_command(), engine_.lines()};
        auto came = co_await client_.read(progress);
        if (came.what == kind::octets && os::memory_is_short())
            engine_.end_session("insufficient system resources", "out of memory");
        else if (came.what == kind::octets)
            engine_.feed(came.octets);
        else if (came.what == kind::interrupted)
            engine_.end_session("service shutting down", "shutdown");
        else
            reason_ = std::move(came.reason);
    }

    void give_back_buffer() { client_.give_buffer_back(engine_.took_secret()); }

    net::awaitable<void> write_output() {
        if (!engine_.has_output())
            co_return;
        std::string output = engine_.take_output();
        std::string failure = co_await client_.write(output);
        if (!failure.empty())
            reason_ = std::move(failure);
    }

    net::awaitable<void> wait_a_while(seconds time) {
        co_await write_output();
        net::time_point until = steady_clock::now() + time;
        while (steady_clock::now() < until && !server_.reception_.stopping())
            co_await wake_.wait(until);
        engine_.waited();
    }

    net::awaitable<void> start_tls() {
        auto established = co_await client_.start_tls(*services_.tls, reason_);
        if (established)
            engine_.tls_established(*established);
    }

    net::awaitable<void> open_mailbox(std::string user) {
        auto job = [this, &user]() -> base::result<pop::message_list> {
            auto opened = server_.settings_.by_name ? spool::mailbox::of_user(services_.store, user)
                                                    : spool::mailbox(services_.store);
            if (opened.has_error())
                return opened.error();
            pop::message_list messages;
            auto listed = opened->list([&](std::string_view id, std::uint64_t octets) {
                if (messages.highest() < most_messages)
                    messages.add(id, octets);
            });
            if (listed.has_error())
                return listed.error();
            messages.trim();
            mailbox_ = std::make_unique<spool::mailbox>(std::move(*opened));
            return messages;
        };
        auto messages = co_await services_.work.run(job);
        if (messages.has_error()) {
            log_.warning("pop: cannot open the mailbox: {}", base::printable(messages.error().message()));
            engine_.mailbox_opened(std::nullopt);
            co_return;
        }
        services_.watch.count(counter::pop_logins);
        engine_.mailbox_opened(std::move(*messages));
    }

    net::awaitable<void> open_message(std::string id) {
        auto job = [this, &id]() -> base::result<void> {
            auto opened = mailbox_->open(id);
            if (opened.has_error())
                return opened.error();
            content_.emplace(std::move(*opened));
            return read_ahead();
        };
        auto opened = co_await services_.work.run(job);
        if (opened.has_error()) {
            log_.warning("pop: cannot read [{}]: {}", base::printable(id),
                         base::printable(opened.error().message()));
            content_.reset();
        } else {
            services_.watch.count(counter::pop_messages_read);
        }
        engine_.message_opened(opened.has_value());
    }

    // [blocks]
    base::result<void> read_ahead() {
        ahead_.resize(content_piece);
        auto n = content_->read(ahead_);
        if (n.has_error())
            return n.error();
        ahead_.resize(*n);
        fresh_ = true;
        return {};
    }

    net::awaitable<void> read_content() {
        if (!fresh_) {
            auto job = [this] {
                return read_ahead();
            };
            auto read = co_await services_.work.run(job);
            if (read.has_error()) {
                log_.warning("pop: cannot read message file: {}", base::printable(read.error().message()));
                engine_.content_failed();
                co_return;
            }
        }
        fresh_ = false;
        bool last = ahead_.size() < content_piece;
        engine_.content(ahead_, last);
        if (last)
            drop_content();
    }

    void drop_content() {
        content_.reset();
        std::vector<char>().swap(ahead_);
    }

    net::awaitable<void> delete_messages(std::vector<std::string> ids) {
        if (ids.empty() || !server_.settings_.may_delete) {
            engine_.deleted(true);
            co_return;
        }
        auto job = [this, &ids] {
            return mailbox_->remove(ids);
        };
        bool all = co_await services_.work.run(job);
        services_.watch.count(counter::pop_messages_deleted, ids.size());
        engine_.deleted(all);
    }

    net::awaitable<void> say_goodbye() {
        std::string replies = engine_.take_output();
        co_await client_.say_goodbye(replies);
    }

    pop_server& server_;
    const pop_services& services_;
    net::worker& worker_;
    client_connection client_;
    net::event wake_;         // the stop
    const base::logger& log_; // of this session
    pop::server_engine engine_;
    std::unique_ptr<spool::mailbox> mailbox_;
    std::optional<spool::mailbox::content> content_; // of the message that is being read
    std::vector<char> ahead_;                        // the next octets of it
    bool fresh_ = false;                             // they have not been used
    std::string reason_;                             // why the session is over; empty while it goes on
};

constexpr protocol_words pop_words{"pop", "-ERR too many connections\r\n"};

pop_server::pop_server(pop_server_settings settings, pop_services services, net::worker_group& workers,
                       base::logger log)
    : settings_(std::move(settings)), services_(std::move(services)), log_(log),
      reception_(pop_words, settings_.door, workers, std::move(log),
                 [this](net::worker& on, net::stream peer) { return serve(on, std::move(peer)); }) {}

net::awaitable<void> pop_server::serve(net::worker& on, net::stream peer) {
    auto logins = co_await services_.logins.now();
    if (logins.has_error()) {
        log_.warning("new connection error: {}", logins.error().message());
        co_return;
    }
    pop_session session(*this, on, std::move(peer), std::move(*logins));
    co_await session.run();
}

} // namespace relay
