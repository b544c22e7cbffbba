// One coroutine per connection. The engine says what to do; this file does it: reads and writes the socket,
// keeps the time limits, puts content into the spool and commits it. No protocol knowledge is here.
//
// Promises: a session ends by itself in bounded time whatever the peer does; its octets in memory are bounded
// by one read buffer, what the message may hold (spool::settings) and the replies that the engine lets
// gather; a message that was not committed leaves no files.
#include "relay/smtp_server.hpp"

#include "base/secret_text.hpp"
#include "os/clock.hpp"
#include "relay/immediate.hpp"
#include "relay/tls_log.hpp"

#include <algorithm>
#include <optional>

namespace relay {

using std::chrono::seconds;
using std::chrono::steady_clock;

namespace {

constexpr seconds grace_for_content{60}; // before the data rate counts
constexpr int most_early_buffers = 64;   // that are thrown away; what a system holds for a socket is less

} // namespace

class smtp_session final : private reception::guest {
public:
    smtp_session(smtp_server& server, net::worker& on, net::stream peer)
        : guest(server.reception_, on), server_(server), worker_(on), peer_(std::move(peer)),
          log_(server.log_.with_peer(peer_.peer().address, std::to_string(peer_.peer().port))),
          engine_(server.settings_.protocol, {peer_.peer().address, peer_.peer().unix_domain}, log_) {}

    ~smtp_session() override {
        discard();
        give_buffer_back();
    }

    net::awaitable<void> run() {
        server_.services_.watch.count(counter::smtp_sessions);
        log_.summary("smtp connection from {}", peer_.peer().display());
        co_await ask_block_lists();
        if (reason_.empty() && server_.services_.logins != nullptr)
            co_await find_logins();
        if (reason_.empty() && server_.settings_.protocol.tls == smtp::tls_mode::implicit)
            co_await start_tls();
        if (reason_.empty())
            engine_.start(server_.enabled_);
        while (reason_.empty()) {
            smtp::server_action todo = engine_.next();
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
            peer_.close();
        else
            peer_.reset();
        log_.summary("smtp connection closed: {}: {}", reason_, peer_.peer().display());
    }

    void interrupt() override {
        peer_.interrupt();
        if (block_lists_)
            block_lists_->interrupt();
        if (wake_)
            wake_->notify();
        if (immediate_)
            immediate_->interrupt();
    }

private:
    // A client that is blocked hears nothing; what one has sent before it was greeted is thrown away, if it
    // is not the beginning of a handshake.
    net::awaitable<void> ask_block_lists() {
        if (!server_.services_.dnsbl)
            co_return;
        block_lists_.emplace(*server_.services_.dnsbl, worker_, log_);
        net::endpoint client = peer_.peer();
        bool welcome = co_await block_lists_->allows(std::move(client));
        block_lists_.reset();
        if (!welcome)
            reason_ = "blocked";
        else if (server_.settings_.protocol.tls != smtp::tls_mode::implicit)
            drop_early_octets();
    }

    void drop_early_octets() {
        auto buffer = worker_.buffers().take();
        for (int i = 0; i < most_early_buffers; ++i) {
            auto n = peer_.read_now(buffer.bytes());
            if (n.has_error())
                give_up(n.error());
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

    void give_buffer_back() {
        const std::size_t octets = std::exchange(octets_read_, 0);
        if (octets != 0 && engine_.took_secret())
            base::wipe(buffer_.bytes().data(), octets);
        buffer_.give_back();
    }

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
        peer_.deadline(read_limit());
        for (;;) {
            auto ready = co_await peer_.readable();
            if (ready.has_error()) {
                waited_in_vain(ready.error());
                co_return;
            }
            buffer_ = worker_.buffers().take();
            auto n = peer_.read_now(buffer_.bytes());
            if (n.has_error()) {
                give_up(n.error());
                co_return;
            }
            if (*n == 0) {
                buffer_.give_back();
                continue; // not for us after all
            }
            note_progress(*n);
            octets_read_ = *n;
            engine_.feed(buffer_.bytes().first(*n));
            co_return;
        }
    }

    // Limited by the idle time as a whole, however slowly the client goes on.
    net::awaitable<void> start_tls() {
        if (!reason_.empty())
            co_return;
        peer_.deadline(net::deadline_after(server_.settings_.idle_timeout));
        which_limit_ = limit_kind::idle;
        auto established = co_await peer_.start_tls(*server_.services_.tls);
        if (established.has_error()) {
            handshake_failed(established.error());
            co_return;
        }
        log_tls_established(log_, peer_.peer().display(), *established);
        engine_.tls_established(std::move(*established));
    }

    void handshake_failed(const base::error& why) {
        if (net::stream::is_interrupt(why)) {
            reason_ = "shutdown";
        } else if (net::stream::is_timeout(why)) {
            waited_in_vain(why);
        } else {
            log_tls_error(log_, why);
            reason_ = "peer disconnected: ssl accept";
        }
        engine_.tls_failed(reason_);
    }

    net::awaitable<void> write_replies() {
        if (!engine_.has_output())
            co_return;
        std::string replies = engine_.take_output();
        peer_.deadline(net::deadline_after(server_.settings_.idle_timeout));
        auto written = co_await peer_.write(replies);
        if (written.has_error())
            give_up(written.error());
    }

    // The nearest of the limits that hold now.
    net::time_point read_limit() {
        const auto& limits = server_.settings_;
        net::time_point limit = net::deadline_after(limits.idle_timeout);
        which_limit_ = limit_kind::idle;
        if (in_content_ != engine_.in_content()) {
            in_content_ = !in_content_;
            content_started_ = steady_clock::now();
            content_octets_ = 0;
        }
        if (in_content_) {
            if (limits.data_rate != 0) {
                auto earned = seconds(static_cast<std::int64_t>(content_octets_ / limits.data_rate));
                net::time_point too_slow = content_started_ + grace_for_content + earned;
                if (too_slow < limit) {
                    limit = too_slow;
                    which_limit_ = limit_kind::too_slow;
                }
            }
        } else if (engine_.in_command() && limits.command_timeout.count() > 0) {
            net::time_point unfinished = command_started_ + limits.command_timeout;
            if (unfinished < limit) {
                limit = unfinished;
                which_limit_ = limit_kind::command;
            }
        }
        return limit;
    }

    void note_progress(std::size_t octets) {
        if (in_content_)
            content_octets_ += octets;
        else if (!engine_.in_command())
            command_started_ = steady_clock::now();
    }

    void waited_in_vain(const base::error& why) {
        if (net::stream::is_interrupt(why)) {
            engine_.end_session(421, "service shutting down", "shutdown");
        } else if (!net::stream::is_timeout(why)) {
            give_up(why);
        } else if (which_limit_ == limit_kind::too_slow) {
            engine_.end_session(421, "too slow", "content arrives too slowly");
        } else if (which_limit_ == limit_kind::command) {
            reason_ = "command timeout: command not finished after " +
                      std::to_string(server_.settings_.command_timeout.count()) + "s";
        } else {
            reason_ = idle_timeout_text();
        }
    }

    std::string idle_timeout_text() const {
        return "idle timeout: no activity after " + std::to_string(server_.settings_.idle_timeout.count()) +
               "s";
    }

    void give_up(const base::error& why) {
        if (net::stream::is_tls_failure(why)) {
            log_tls_error(log_, why);
            reason_ = "peer disconnected: ssl read";
        } else {
            reason_ = net::stream::is_timeout(why) ? "idle timeout: replies not read" : "peer disconnected";
        }
    }

    net::awaitable<void> append(std::span<const char> bytes) {
        if (!message_)
            co_return;
        message_->append(bytes);
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
            engine_.recipient_checked(std::move(answer));
            co_return;
        }
        if (!verifier_)
            verifier_ = settings->make(
                verify::services{worker_, server_.services_.work, *settings->lookups, settings->timeout});
        verify::request asked{std::string(ask.address),
                              std::string(ask.from),
                              peer_.peer().display(),
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
            reason_ = idle_timeout_text();
            co_return;
        }
        answer.what = kind_of(found.what);
        answer.address = std::move(found.address);
        answer.full_name = std::move(found.full_name);
        answer.response = std::move(found.response);
        answer.reason = std::move(found.reason);
        engine_.recipient_checked(std::move(answer));
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
        std::string id = message.id();
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
        co_await answer_stored(std::move(id));
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
        if (idle || peer_.peer_has_closed()) {
            filters_->discard();
            reason_ = idle ? idle_timeout_text() : "peer disconnected";
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
        facts.address = peer_.peer().address;
        facts.port = peer_.peer().port;
        facts.unix_domain = peer_.peer().unix_domain;
        facts.domain = server_.settings_.protocol.domain;
        facts.local_address = peer_.local().address;
        facts.local_port = peer_.local().port;
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

    // The last reply, and the end of our side; the peer's is not waited for.
    net::awaitable<void> say_goodbye() {
        std::string replies = engine_.take_output();
        peer_.deadline(net::deadline_after(seconds(10)));
        auto written = co_await peer_.write(replies);
        if (!written.has_error())
            peer_.shutdown_send();
    }

    enum class limit_kind { idle, command, too_slow };

    smtp_server& server_;
    net::worker& worker_;
    net::stream peer_;
    base::logger log_;
    smtp::server_engine engine_;
    std::optional<net::dnsbl_check> block_lists_; // while it goes on
    std::optional<spool::new_message> message_;
    std::optional<immediate_forwarding> immediate_;
    std::optional<server_filters> filters_;      // made for the first message
    std::unique_ptr<verify::verifier> verifier_; // made for the first recipient
    net::buffer_pool::loan buffer_;
    std::size_t octets_read_ = 0;    // into the buffer; 0 when there is none
    std::optional<net::event> wake_; // ends a pause, brings an answer about a password
    std::string reason_;             // why the session is over; empty while it goes on
    net::time_point command_started_{};
    net::time_point content_started_{};
    bool in_content_ = false; // at the last read: octets of DATA or BDAT are awaited
    std::uint64_t content_octets_ = 0;
    limit_kind which_limit_ = limit_kind::idle;
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
