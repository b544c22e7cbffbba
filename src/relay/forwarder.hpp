// Sends spooled mail on (spec/smtp-client.md, spec/process-and-logging.md section 5).
//
// One forwarder per relay instance, one run at a time. It lives on one worker; request() and stop() may be
// called from any thread.
#pragma once

#include "base/log.hpp"
#include "mail/next_hop.hpp"
#include "net/connector.hpp"
#include "net/worker.hpp"
#include "relay/blocking.hpp"
#include "smtp/client_engine.hpp"
#include "spool/store.hpp"

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace relay {

struct forwarder_settings {
    mail::next_hop to;
    smtp::client_settings protocol; // helo_name is our domain; replaced by the local address if it has no dot
    std::optional<net::local_interface> from;
    std::chrono::seconds connection_timeout{40}; // each 0 = none
    std::chrono::seconds response_timeout{1800};
    std::chrono::seconds prompt_timeout{20};
    std::chrono::milliseconds poll{0}; // 0 = off
    bool linger = true;
};

enum class run_reason { startup, poll, admin, client_disconnect, rescan };

struct run_outcome {
    bool no_messages = false; // there was nothing to do
    std::string error;        // why the run ended early; empty if it ended normally
};

class forwarder {
public:
    forwarder(forwarder_settings settings, spool::store& store, blocking& work, net::worker& on,
              base::logger log);
    ~forwarder();

    // Called at the end of each run, on the worker's thread. Set before start().
    std::function<void(const run_outcome&)> run_ended;

    void start();
    void request(run_reason why); // at most one request waits while a run is going on

    // Looks the next hop's name up once, so that a mistake shows in the log at start.
    void check_name();

    // The message in hand is finished or unlocked, then no more. `ended` is called on the worker's thread.
    // With `at_once` a wait for the peer is cut short.
    void stop(std::function<void()> ended);
    void cut_short();

private:
    struct connection;
    struct taken;

    net::awaitable<void> serve();
    net::awaitable<void> poll();
    net::awaitable<void> look_up_name();
    net::awaitable<run_outcome> run(run_reason why);
    net::awaitable<base::result<void>> forward_all(std::vector<std::string> ids);
    net::awaitable<base::result<taken>> take(std::string id);
    net::awaitable<base::result<void>> deliver(taken message);
    net::awaitable<std::optional<smtp::session_failed>> send(taken& message);
    net::awaitable<base::result<void>> open_connection();
    net::awaitable<smtp::client_action> advance(taken& message);
    net::awaitable<void> exchange(const smtp::read_reply& wait);
    net::awaitable<void> supply_content(taken& message, std::size_t at_most);
    net::awaitable<bool> write_output();
    net::awaitable<void> settle(taken message, smtp::message_done outcome);
    net::awaitable<void> put_back(taken message);
    net::awaitable<void> close_connection();
    void note_request(run_reason why);

    forwarder_settings settings_;
    spool::store& store_;
    blocking& work_;
    net::worker& worker_;
    base::logger log_;
    net::connector connector_;
    net::event wake_;
    std::optional<run_reason> running_;
    std::optional<run_reason> requested_;
    std::unique_ptr<connection> connection_;
    bool stopping_ = false;
    bool cut_short_ = false;
    std::function<void()> ended_;
};

} // namespace relay
