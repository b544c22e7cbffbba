// The SMTP client's side of one session, without I/O (spec/smtp-client.md sections 4, 7 to 9; RFC 5321, 2920,
// 3030, 6531).
//
// One engine is one connection. Same form as server_engine: feed() what the peer sent, do what next() says.
// The output is written whenever next() says read_reply or read_content with output pending, in one write; a
// body is streamed, never held whole. It never throws; replies are bounded by client_settings.
//
// Life: greeting, EHLO (HELO), with TLS the handshake and EHLO again, then ready -> [message -> done]* ->
// quit. A failed session is final. With pipelining a message may begin right behind the data of the one
// before it (RFC 2920 section 3.1): two round trips each instead of three.
#pragma once

#include "base/log.hpp"
#include "base/tls_session.hpp"
#include "mail/envelope.hpp"
#include "smtp/client_login.hpp"
#include "smtp/compute.hpp"
#include "smtp/tls_mode.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace smtp {

struct client_settings {
    std::string helo_name;         // argument of EHLO: our domain, or the local address if that has no dot
    bool forward_to_some = false;  // --forward-to-some
    bool anonymous = false;        // --anonymous=client
    tls_mode tls = tls_mode::none; // starttls: if the server offers it
    bool tls_required = false;     // nothing is sent in clear
    // --client-smtp-config
    bool pipelining = false;
    bool smtputf8_strict = true;
    bool eightbit_strict = false;
    bool binarymime_strict = true;
    // Limits; 0 = none.
    std::size_t max_reply_line = 4096;
    std::size_t max_reply_lines = 128;
};

// ---- what the driver has to do

// Write take_output(), then read with the named time limit and feed(). When the time passes call timed_out().
struct read_reply {
    enum class wait { greeting, reply };
    wait limit = wait::reply;
    bool continued = false; // still the reply of the last read_reply: the time limit runs on
};

// The session is ready: give send() the next message, or quit().
struct session_ready {};

// The next piece of the message's content is wanted: content(). Write take_output() when it has grown past
// some 64 KiB.
struct read_content {
    std::size_t at_most; // octets that fit now
};

// The message in hand is settled; afterwards next() says session_ready or session_failed.
struct message_done {
    enum class result {
        sent,               // accepted for all recipients
        sent_to_some,       // accepted, but some recipients were refused (--forward-to-some)
        recipients_refused, // some or all, and so nothing was sent
        refused,            // by another reply of the server; nothing was sent
        failed,             // for a local reason, e.g. "cannot send 8-bit message to 7-bit server"
    };
    result what = result::sent;
    std::string reason;               // as for the envelope's Reason, unescaped; lines joined by LF
    std::optional<int> code;          // as for ReasonCode
    std::vector<std::string> refused; // the recipients refused, for sent_to_some
};

// The session cannot go on: connection-level or protocol error (section 9). With `message_in_hand` the
// message in hand fails with this reason and no code; while the session starts, that is the message for which
// it was opened. Without, it broke between two messages: what is to be sent next has not been touched.
struct session_failed {
    std::string reason; // raw: may hold what the peer said
    bool message_in_hand = false;
};

// quit() has been called and QUIT is in take_output(): write it, shut down the sending side, close.
struct session_over {};

using client_action = std::variant<start_tls, read_reply, compute, session_ready, read_content, message_done,
                                   session_failed, session_over>;

class client_engine {
public:
    client_engine(const client_settings& settings, base::logger log);
    ~client_engine();
    client_engine(client_engine&&) noexcept;
    client_engine& operator=(client_engine&&) noexcept;

    // Before next(): the session logs in, if the account has secrets.
    void log_in(client_account as);

    // What the peer sent; copied, so the octets may go at once.
    void feed(std::span<const char> bytes);
    client_action next();

    // Answers to start_tls. What the server said in clear is forgotten; after a failure the session is.
    void tls_established(const base::tls_session& session);
    void tls_failed(std::string reason);

    void computed();

    // Answer to session_ready. `envelope` stays valid until message_done or session_failed.
    // Or to message_done, if the message has begun already: follow().
    void send(const mail::envelope& envelope, std::uint64_t content_size);
    void quit();

    // Behind the last content(), before next(): lets this message begin behind the one in hand, if the peer
    // and the two of them allow it. Then message_done is answered with send() of this one, or quit();
    // `envelope` stays valid until then. A message does not count as in hand before the peer has answered its
    // MAIL so.
    bool follow(const mail::envelope& envelope, std::uint64_t content_size);

    // Answer to read_content: at most the octets asked for; `last` with the final piece (which may be empty).
    void content(std::span<const char> bytes, bool last);
    // The content could not be read: the session is given up, the message must not be completed.
    void content_failed(std::string reason);

    // The time limit of read_reply passed. After a missing greeting the session goes on with EHLO.
    void timed_out(unsigned seconds);
    // The peer closed, or the connection failed: "peer disconnected".
    void disconnected(std::string_view reason);

    std::string take_output();
    bool has_output() const noexcept;
    // Whether what take_output() gave held a password: it is to be wiped.
    bool gave_secret() noexcept;

    // For the log of the message in hand.
    void set_logger(base::logger log);

private:
    struct impl;
    std::unique_ptr<impl> impl_;
};

} // namespace smtp
