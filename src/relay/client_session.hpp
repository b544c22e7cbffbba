// One connection to a next hop: connects, sends messages, quits (spec/smtp-client.md). Drives a
// smtp::client_engine.
//
// Used by the forwarder for a run and by an SMTP session for immediate forwarding. Lives on one worker. What
// becomes of a message's files is not decided here.
#pragma once

#include "base/log.hpp"
#include "mail/next_hop.hpp"
#include "net/connector.hpp"
#include "net/worker.hpp"
#include "relay/blocking.hpp"
#include "relay/client_authentication.hpp"
#include "relay/outgoing.hpp"
#include "smtp/client_engine.hpp"

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <variant>

namespace relay {

struct client_session_settings {
    smtp::client_settings protocol; // helo_name is our domain; replaced by the local address if it has no dot
    std::optional<net::local_interface> from;
    std::optional<net::tls_service> tls{};       // there whenever the protocol settings ask for TLS
    std::chrono::seconds connection_timeout{40}; // each 0 = none
    std::chrono::seconds response_timeout{1800};
    std::chrono::seconds prompt_timeout{20};
    bool linger = true;
    client_authentication* logins = nullptr; // null: without secrets
};

class client_session {
public:
    // All outlive the session.
    client_session(const client_session_settings& settings, blocking& work, net::worker& on,
                   const base::logger& log);
    ~client_session();
    client_session(const client_session&) = delete;
    client_session& operator=(const client_session&) = delete;

    // Errors carry the whole text: "connect failure: cannot connect to A". The session logs in with the
    // secrets for `selector`, if there are any.
    net::awaitable<base::result<void>> connect(mail::next_hop to, std::string selector);
    net::connector& connector() noexcept { return connector_; } // for what it tells of its progress
    bool connected() const noexcept { return peer_.has_value(); }
    std::string peer() const; // as displayed

    // The session's start, if that has not been: afterwards messages can be sent. Nothing if it went well.
    net::awaitable<std::optional<smtp::session_failed>> begin(outgoing_message& message);

    // Sends the message, with the session's start before the first one. After session_failed, from begin() as
    // well, the session is over: to be destroyed, which closes the connection. `next` is asked when the
    // content has been read: a message that it gives may begin behind this one, if the peer allows it, and is
    // then the one to be sent next. It may be destroyed or moved meanwhile.
    using outcome = std::variant<smtp::message_done, smtp::session_failed>;
    using message_behind = std::function<const outgoing_message*()>;
    net::awaitable<outcome> send(outgoing_message& message, message_behind next);

    net::awaitable<void> quit(); // the reply is not awaited
    void interrupt();            // ends a wait for the peer, or for the connection

private:
    void attend_to(const outgoing_message& message);
    base::logger log_of(const outgoing_message& message) const;
    void begin_behind(const outgoing_message& next, const outgoing_message& message);
    void notice_end();
    net::awaitable<smtp::client_action> advance(outgoing_message& message);
    net::awaitable<void> start_tls();
    void lost(const base::error& why, const char* during);
    net::awaitable<void> exchange(smtp::read_reply wait);
    net::awaitable<void> supply_content(outgoing_message& message, std::size_t at_most);
    net::awaitable<bool> write_output();

    const client_session_settings& settings_;
    blocking& work_;
    net::worker& worker_;
    const base::logger& log_;
    net::connector connector_;
    smtp::client_settings protocol_;
    std::optional<net::stream> peer_;
    std::optional<smtp::client_engine> engine_;
    bool begun_ = false;      // for a message
    std::string attended_to_; // the id of the latest one
    message_behind next_;     // of the message that is being sent
    bool next_has_begun_ = false;
    net::time_point reply_deadline_{};
};

} // namespace relay
