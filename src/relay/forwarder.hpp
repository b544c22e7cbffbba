// Sends spooled mail on (spec/smtp-client.md, spec/process-and-logging.md section 5).
//
// One forwarder per relay instance, one run at a time. It lives on one worker; request() and stop() may be
// called from any thread.
#pragma once

#include "base/log.hpp"
#include "mail/next_hop.hpp"
#include "net/worker.hpp"
#include "relay/blocking.hpp"
#include "relay/filter_settings.hpp"
#include "relay/message_sender.hpp"
#include "relay/observer.hpp"
#include "spool/store.hpp"

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace relay {

struct forwarder_settings {
    mail::next_hop to; // unless the envelope says otherwise
    client_session_settings client;
    std::chrono::milliseconds poll{0}; // 0 = off
    unsigned connections = 1;          // in one run; with more than one the order of messages is not kept
    filter_settings filters;           // --client-filter
};

enum class run_reason { startup, poll, admin, client_disconnect, rescan };

struct run_outcome {
    bool no_messages = false; // there was nothing to do
    std::string error;        // why the run ended early; empty if it ended normally
};

class forwarder {
public:
    forwarder(forwarder_settings settings, spool::store& store, blocking& work, net::worker& on,
              base::logger log, observer watch);
    ~forwarder();

    // Called at the end of each run, on the worker's thread. Set before start().
    std::function<void(const run_outcome&)> run_ended;

    void start();
    void request(run_reason why); // at most one request waits while a run is going on

    // One run by itself, for a forwarder that is not started, and its early end: after the message in hand,
    // or at once, which unlocks it. On the worker's thread.
    net::awaitable<run_outcome> run(run_reason why);
    void end_run(bool at_once);

    // Looks the next hop's name up once, so that a mistake shows in the log at start.
    void check_name();

    // The message in hand is finished, or unlocked if no connection is there yet; then no more. `ended` is
    // called on the worker's thread. cut_short() ends the wait for a peer: the message in hand is unlocked.
    void stop(std::function<void()> ended);
    void cut_short();

private:
    net::awaitable<void> serve();
    net::awaitable<run_outcome> run_through(run_reason why);
    net::awaitable<void> poll();
    net::awaitable<void> look_up_name();
    // A run in progress: the messages, and those who send them.
    struct run_state;
    net::awaitable<base::result<void>> forward_all(spool::ready_messages messages);
    net::awaitable<void> work_through(run_state& run, message_sender& by);
    void call_helpers(run_state& run);
    net::awaitable<void> help(run_state& run, message_sender& by);
    net::awaitable<base::result<void>> deliver(outgoing_message message, message_sender& by,
                                               const coming_message& next);
    message_sender& first_sender() const { return *senders_.front(); }
    void note_request(run_reason why);
    void log_taken(const spool::claimed_message& message) const;

    forwarder_settings settings_;
    spool::store& store_;
    blocking& work_;
    net::worker& worker_;
    base::logger log_;
    observer watch_;
    net::event wake_;
    std::optional<run_reason> running_;
    std::optional<run_reason> requested_;
    std::vector<std::unique_ptr<message_sender>> senders_; // one for each connection
    bool run_ends_ = false; // a filter wants no more messages sent in the present run
    bool stopping_ = false;
    bool cut_short_ = false; // the end of a run is our doing
    std::function<void()> ended_;
};

} // namespace relay
