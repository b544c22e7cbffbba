// One coroutine per connection. The engine says what to do; this file does it: reads and writes the socket,
// keeps the time limits, puts content into the spool and commits it. No protocol knowledge is here.
//
// Promises: a session ends by itself in bounded time whatever the peer does; its octets in memory are bounded
// by one read buffer, what the message may hold (spool::settings) and the replies that the engine lets
// gather; a message that was not committed leaves no files.
#include "relay/smtp_server.hpp"

#include "os/clock.hpp"
#include "os/memory.hpp"
#include "relay/client_connection.hpp"
#include "relay/content_pace.hpp"
#include "relay/immediate.hpp"

#include <algorithm>
#include <optional>

namespace relay {

using std::chrono::seconds;
using std::chrono::steady_clock;

namespace {

constexpr int most_early_buffers = 64; // that are thrown away; what a system holds for a socket is less

} // namespace

class smtp_session final : private reception::guest {
public:
    smtp_session(smtp_server& server, net::worker& on, net::stream peer)
        : guest(server.reception_, on), server_(server), worker_(on),
          client_(on, std::move(peer), {server.settings_.idle_timeout, server.settings_.command_timeout},
                  server.log_),
          log_(client_.log()), pace_(server.settings_.data_rate),
          engine_(server.settings_.protocol, {client_.peer().address, client_.peer().unix_domain}, log_) {}

    ~smtp_session() override {
        discard();
        give_buffer_back();
    }

    net::awaitable<void> run() {
        server_.services_.watch.count(counter::smtp_sessions);
        log_.summary("smtp connection from {}", client_.peer().display());
        co_await ask_block_lists();
        if (reason_.empty() && server_.services_.logins != nullptr)
            co_await find_logins();
        if (reason_.empty() && server_.settings_.protocol.tls == smtp::tls_mode::implicit)
            co_await start_tls();
        if (reason_.empty())
            engine_.start(server_.enabled_);
        while (reason_.empty()) {
            smtp::server_action todo = next_action();
            if (std::holds_alternative<smtp::read_more>(todo)) {
                co_await exchange();
            } else if (std::holds_alternative<smtp::write_replies>(todo)) {
                co_await write_replies();
                co_await net::give_way(); // a peer with that much to say is not the only one
            } else if (std::holds_alternative<smtp::start_tls>(todo)) {
                co_await write_replies();
                give_buffer_back(); // with what came in clear behind the command
                co_await start_tls();
            } else if (auto* login = std::get_if<smtp::check_password>(&todo)) {
                co_await check_password(std::move(login->asked));
            } else if (auto* work = std::get_if<smtp::compute>(&todo)) {
                co_await compute(server_.services_.work, std::move(work->job));
                engine_.computed();
            } else if (auto* wait = std::get_if<smtp::wait_a_while>(&todo)) {
                co_await write_replies();
                co_await pause(wait->time);
                engine_.waited();
            } else if (auto* ask = std::get_if<smtp::check_recipient>(&todo)) {
                co_await check(*ask);
            } else if (std::holds_alternative<smtp::begin_message>(todo)) {
                message_.emplace(server_.services_.store.create());
            } else if (std::holds_alternative<smtp::open_content>(todo)) {
                pace_.begin();
                engine_.content_opened(os::local_now());
            } else if (auto* content = std::get_if<smtp::append_content>(&todo)) {
                co_await append(content->bytes);
            } else if (auto* commit_this = std::get_if<smtp::commit_message>(&todo)) {
                co_await commit(*commit_this->envelope);
            } else if (std::holds_alternative<smtp::discard_message>(todo)) {
                discard();
            } else if (auto* end = std::get_if<smtp::close_session>(&todo)) {
                reason_ = end->reason;
                if (!end->abort)
                    co_await say_goodbye();
            }
        }
        if (server_.settings_.linger)
            client_.stream().close();
        else
            client_.stream().reset();
        log_.summary("smtp connection closed: {}: {}", reason_, client_.peer().display());
    }

    void interrupt() override {
        client_.stream().interrupt();
        if (block_lists_)
            block_lists_->interrupt();
        if (wake_)
            wake_->notify();
        if (immediate_)
            immediate_->interrupt();
    }

private:
    // What a client makes the engine keep of a message, its recipients above all, is the session's own: if
    // there is no memory for it the session ends. To wait for memory would hold up all other sessions of
    // this thread, those too whose end would give some back.
    smtp::server_action next_action() {
        os::allocations_may_fail here;
        return engine_.next();
    }

    void feed(std::span<const char> octets) {
        os::allocations_may_fail here;
        engine_.feed(octets);
    }

    void recipient_checked(smtp::recipient_verdict answer) {
        os::allocations_may_fail here;
        engine_.recipient_checked(std::move(answer));
    }

    void take_content(std::span<const char> octets) {
        os::allocations_may_fail here;
        message_->append(octets);
    }

    // A client that is blocked hears nothing; what one has sent before it was greeted is thrown away, if it
    // is not the beginning of a handshake.
    net::awaitable<void> ask_block_lists() {
        if (!server_.services_.dnsbl)
            co_return;
        block_lists_.emplace(*server_.services_.dnsbl, worker_, log_);
        net::endpoint client = client_.peer();
        bool welcome = co_await block_lists_->allows(std::move(client));
        bool asked = block_lists_->asked();
        block_lists_.reset();
        if (!welcome)
            reason_ = "blocked";
        else if (asked && server_.settings_.protocol.tls != smtp::tls_mode::implicit)
            drop_early_octets();
    }

    void drop_early_octets() {
        auto buffer = worker_.buffers().take();
        for (int i = 0; i < most_early_buffers; ++i) {
            auto n = client_.stream().read_now(buffer.bytes());
            if (n.has_error())
                reason_ = client_.lost(n.error());
            if (n.has_error() || *n == 0)
                return;
        }
        reason_ = "too much sent before the greeting";
    }

    // Who may log in, as things are now. If nobody can tell there is no session.
    net::awaitable<void> find_logins() {
        auto found = co_await server_.services_.logins->now();
        if (found.has_error()) {
            log_.warning("new connection error: {}", found.error().message());
            reason_ = "no authentication";
            co_return;
        }
        engine_.require({std::move(*found), fresh_text});
    }

    net::awaitable<void> check_password(sasl::ask_password asked) {
        if (!wake_)
            wake_.emplace(worker_);
        auto verdict = co_await server_.services_.logins->ask(worker_, *wake_, std::move(asked), log_);
        engine_.password_checked(std::move(verdict));
    }

    // Ends at once when the server stops.
    net::awaitable<void> pause(seconds time) {
        if (server_.reception_.stopping() || !reason_.empty())
            co_return;
        if (!wake_)
            wake_.emplace(worker_);
        co_await wake_->wait(net::deadline_after(time));
    }

    void give_buffer_back() { client_.give_buffer_back(engine_.took_secret()); }

    // Replies out, then the next octets in.
    net::awaitable<void> exchange() {
        give_buffer_back(); // all of it has been consumed
        drop_next_hop_after_reset();
        co_await write_replies();
        if (!reason_.empty())
            co_return;
        if (server_.reception_.stopping()) {
            engine_.end_session(421, "service shutting down", "shutdown");
            co_return;
        }
        using kind = client_connection::received::kind;
        const bool content = engine_.awaits_content();
        const net::time_point begun = content ? steady_clock::now() : net::time_point();
        const net::time_point too_slow = content ? pace_.too_slow_at(begun) : net::time_point::max();
        const client_connection::command_progress progress{engine_.in_command() && !engine_.in_content(),
                                                           engine_.lines()};
        auto came = co_await client_.read(progress, too_slow);
        if (content)
            pace_.waited(steady_clock::now() - begun, came.octets.size());
        switch (came.what) {
        case kind::octets:
            if (os::memory_is_short())
                engine_.end_session(421, "insufficient system resources", "out of memory");
            else
                feed(came.octets);
            break;
        case kind::interrupted:
            engine_.end_session(421, "service shutting down", "shutdown");
            break;
        case kind::late:
            engine_.end_session(421, "too slow", "content arrives too slowly");
            break;
        case kind::over:
            reason_ = std::move(came.reason);
        }
    }

    net::awaitable<void> start_tls() {
        if (!reason_.empty())
            co_return;
        auto established = co_await client_.start_tls(*server_.services_.tls, reason_);
        if (established)
            engine_.tls_established(std::move(*established));
        else
            engine_.tls_failed(reason_);
    }

    net::awaitable<void> write_replies() {
        if (!engine_.has_output())
            co_return;
        std::string replies = engine_.take_output();
        std::string failure = co_await client_.write(replies);
        if (!failure.empty())
            reason_ = std::move(failure);
    }

    net::awaitable<void> append(std::span<const char> bytes) {
        if (!message_)
            co_return;
        take_content(bytes);
        if (!message_->needs_write())
            co_return;
        auto write = [m = &*message_] {
            m->write();
        };
        co_await server_.services_.work.run(write);
    }

    net::awaitable<void> check(smtp::check_recipient ask) {
        smtp::recipient_verdict answer;
        answer.address = ask.address;
        const verifier_settings* settings = server_.services_.verifier;
        if (!settings) {
            recipient_checked(std::move(answer));
            co_return;
        }
        if (!verifier_)
            verifier_ = settings->make(
                verify::services{worker_, server_.services_.work, *settings->lookups, settings->timeout});
        verify::request asked{std::string(ask.address),
                              std::string(ask.from),
                              client_.peer().display(),
                              server_.settings_.protocol.domain,
                              std::string(ask.mechanism),
                              std::string(ask.id),
                              log_};
        verify::verdict found;
        bool idle = false;
        {
            auto too_late = [this, &idle] {
                idle = true;
                verifier_->interrupt();
            };
            net::alarm idle_alarm(worker_, net::deadline_after(server_.settings_.idle_timeout),
                                  std::move(too_late));
            found = co_await verifier_->check(std::move(asked));
        }
        if (idle) {
            reason_ = client_.idle_timeout_text();
            co_return;
        }
        answer.what = kind_of(found.what);
        answer.address = std::move(found.address);
        answer.full_name = std::move(found.full_name);
        answer.response = std::move(found.response);
        answer.reason = std::move(found.reason);
        recipient_checked(std::move(answer));
    }

    static smtp::recipient_verdict::kind kind_of(verify::verdict::kind what) {
        using from = verify::verdict::kind;
        using to = smtp::recipient_verdict::kind;
        switch (what) {
        case from::remote:
            return to::remote;
        case from::local:
            return to::local;
        case from::rejected:
            return to::rejected;
        case from::rejected_for_now:
            return to::rejected_for_now;
        case from::abort_session:
            return to::abort_session;
        }
        return to::rejected;
    }

    net::awaitable<void> commit(const mail::envelope& envelope) {
        spool::new_message message = std::move(*message_);
        message_.reset();
        std::uint64_t octets = message.size();
        mail::envelope text = envelope;
        if (server_.services_.filters) {
            co_await filter_and_commit(std::move(message), std::move(text));
            co_return;
        }
        auto stored = co_await server_.services_.work.commit(server_.services_.store, std::move(message),
                                                             std::move(text));
        if (stored.has_error()) {
            log_.warning("failed to save message content: {}", stored.error().message());
            server_.services_.watch.count(counter::smtp_not_stored);
            engine_.message_committed({452, "transaction failed"});
            co_return;
        }
        count_stored(octets);
        co_await answer_stored(std::move(*stored));
    }

    void count_stored(std::uint64_t octets) const {
        server_.services_.watch.count(counter::smtp_messages);
        server_.services_.watch.count(counter::smtp_octets, octets);
    }

    // The idle time runs on meanwhile, and a client that has gone does not learn that its message was taken:
    // then it is not taken.
    net::awaitable<void> filter_and_commit(spool::new_message message, mail::envelope envelope) {
        if (!filters_)
            filters_.emplace(*server_.services_.filters, server_.services_.store, server_.services_.work,
                             worker_, log_);
        filter::session_facts facts = session_facts();
        std::uint64_t octets = message.size();
        server_filters::verdict verdict{};
        bool idle = false;
        {
            auto too_late = [this, &idle] {
                idle = true;
                filters_->interrupt();
            };
            net::alarm idle_alarm(worker_, net::deadline_after(server_.settings_.idle_timeout),
                                  std::move(too_late));
            verdict = co_await filters_->run(std::move(message), std::move(envelope), facts);
        }
        if (idle || client_.stream().peer_has_closed()) {
            filters_->discard();
            reason_ = idle ? client_.idle_timeout_text() : "peer disconnected";
            co_return;
        }
        if (verdict == server_filters::verdict::refused)
            engine_.message_committed(filters_->refusal());
        else
            co_await commit_filtered(verdict, octets);
        if (filters_->wants_rescan() && server_.services_.rescan)
            server_.services_.rescan();
    }

    net::awaitable<void> commit_filtered(server_filters::verdict verdict, std::uint64_t octets) {
        auto stored = co_await filters_->commit();
        if (stored.has_error()) {
            engine_.message_committed(filters_->refusal());
            co_return;
        }
        count_stored(octets);
        if (verdict == server_filters::verdict::abandoned)
            engine_.message_committed({});
        else
            co_await answer_stored(std::move(*stored));
    }

    filter::session_facts session_facts() const {
        filter::session_facts facts;
        facts.address = client_.peer().address;
        facts.port = client_.peer().port;
        facts.unix_domain = client_.peer().unix_domain;
        facts.domain = server_.settings_.protocol.domain;
        facts.local_address = client_.local().address;
        facts.local_port = client_.local().port;
        facts.helo = engine_.helo();
        const auto client = engine_.client_identity();
        facts.mechanism = client.mechanism == "none" ? std::string_view() : client.mechanism;
        facts.identity = client.id;
        if (const auto& tls = engine_.tls()) {
            facts.tls_protocol = tls->protocol;
            facts.tls_cipher = tls->cipher;
        }
        return facts;
    }

    // The message is in the spool; with --immediate it is sent on before its submitter is told so.
    net::awaitable<void> answer_stored(std::string id) {
        if (!server_.services_.immediate) {
            engine_.message_committed({});
            co_return;
        }
        drop_next_hop_after_reset();
        if (!immediate_)
            immediate_.emplace(*server_.services_.immediate, server_.services_.store, server_.services_.work,
                               worker_, log_, server_.services_.watch);
        smtp::commit_outcome answer = co_await immediate_->forward(std::move(id));
        engine_.message_committed(answer);
    }

    // By RSET the client gives up its connection to the next hop too.
    void drop_next_hop_after_reset() {
        if (immediate_ && engine_.resets() != resets_)
            immediate_->drop();
        resets_ = engine_.resets();
    }

    void discard() {
        if (message_)
            server_.services_.store.discard(std::move(*message_));
        message_.reset();
    }

    net::awaitable<void> say_goodbye() {
        std::string replies = engine_.take_output();
        co_await client_.say_goodbye(replies);
    }

    smtp_server& server_;
    net::worker& worker_;
    client_connection client_;
    const base::logger& log_; // of this session
    content_pace pace_;
    smtp::server_engine engine_;
    std::optional<net::dnsbl_check> block_lists_; // while it goes on
    std::optional<spool::new_message> message_;
    std::optional<immediate_forwarding> immediate_;
    std::optional<server_filters> filters_;      // made for the first message
    std::unique_ptr<verify::verifier> verifier_; // made for the first recipient
    std::optional<net::event> wake_;             // ends a pause, brings an answer about a password
    std::string reason_;                         // why the session is over; empty while it goes on
    unsigned resets_ = 0;
};

constexpr protocol_words smtp_words{"smtp", "421 too many connections\r\n"};

smtp_server::smtp_server(smtp_server_settings settings, smtp_services services, net::worker_group& workers,
                         base::logger log)
    : settings_(std::move(settings)), services_(std::move(services)), log_(log),
      reception_(smtp_words, settings_.door, workers, std::move(log),
                 [this](net::worker& on, net::stream peer) { return serve(on, std::move(peer)); }) {}

smtp_server::~smtp_server() = default;

net::awaitable<void> smtp_server::serve(net::worker& on, net::stream peer) {
    {
        smtp_session session(*this, on, std::move(peer));
        co_await session.run();
    }
    if (services_.connection_closed)
        services_.connection_closed();
}

} // namespace relay
