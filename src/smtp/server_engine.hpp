// The SMTP server's side of one session, without I/O (spec/smtp-server.md; RFC 5321, 1870, 2920, 3030, 6152,
// 6531).
//
// The driver feeds what the peer sent, split anywhere, and does what next() says:
//
//     engine.feed(bytes);
//     for (;;) {
//         server_action todo = engine.next();
//         ... one branch per kind; where the comment names an answer function, call it before next() again
//     }
//
// Replies gather in the engine; the driver writes take_output() whenever next() says read_more or close, so
// that one write carries the replies to a whole pipelined group. The engine knows no socket, file, clock or
// thread; it never throws and its memory is bounded by the limits in server_settings.
//
// Nothing received in clear survives STARTTLS: neither octets behind the command, nor what the client called
// itself.
#pragma once

#include "base/calendar_time.hpp"
#include "base/log.hpp"
#include "base/tls_session.hpp"
#include "mail/envelope.hpp"
#include "sasl/server.hpp"
#include "smtp/compute.hpp"
#include "smtp/tls_mode.hpp"

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>

namespace smtp {

struct server_settings {
    std::string domain;             // --domain
    std::string version;            // shown in the greeting
    bool anonymous_server = false;  // --anonymous=server: less in greeting and EHLO
    bool anonymous_vrfy = false;    // --anonymous=vrfy
    bool anonymous_content = false; // --anonymous=content: no Received line
    std::uint64_t size_limit = 0;   // --size in octets, 0 = none
    tls_mode tls = tls_mode::none;  // starttls: offered; implicit: from the first octet
    bool tls_required = false;      // --server-tls-required: no mail in clear
    // --server-smtp-config
    bool pipelining = true;
    bool chunking = false;
    bool smtputf8 = false;
    bool smtputf8_strict = false;
    bool strict_parsing = true;
    bool a_labels = true;
    // Limits (design.md section 7); 0 = none.
    std::size_t max_command_line = 4096; // octets without CR-LF
    // The same for AUTH and its responses (RFC 4954 section 4), which may in any case be as long as other
    // lines.
    std::size_t max_auth_line = 12'288;
    std::size_t max_recipients = 10'000; // per message, and 256 octets for each of them on average
    std::size_t max_hops = 100;          // Received lines of a message, with our own
    unsigned max_errors = 8;             // of the kinds that the spec counts
    unsigned max_other_errors = 20;      // of the kinds that are new: syntax errors
    unsigned max_idle_commands = 1000;   // commands without a message
    // Octets of replies held while there are commands left to answer: a peer that never reads its replies
    // gets no more of them made.
    std::size_t max_pending_replies = 65'536;
    // "once per process" of the hint at nostrictparsing: copies of the settings share it.
    std::shared_ptr<std::atomic<bool>> syntax_hint_given = std::make_shared<std::atomic<bool>>(false);
};

// What the server asks of its clients.
struct authentication {
    sasl::server by;
    std::function<std::string()> fresh_text; // for challenges: printable, never the same, not to be guessed
};

struct peer_info {
    std::string address; // without port; socket path or "/" for a unix-domain peer
    bool unix_domain = false;
};

// ---- what the driver has to do

// Write take_output(), read from the peer, feed(). The only place to wait for the peer.
struct read_more {};

// Many replies have gathered and input is left: write take_output(), then go on. No answer.
struct write_replies {};

// RCPT or VRFY: ask the address verifier. Answer: recipient_checked().
struct check_recipient {
    std::string_view address; // after A-label conversion; for VRFY the raw argument
    std::string_view from;    // reverse-path, empty for VRFY
    bool vrfy = false;
    std::string_view mechanism = "none"; // by which the client has logged in, in lower case
    std::string_view id{};               // as whom, or the keyword of a trusted address
};

// AUTH: the system knows whether the password is right, and may take its time. Answer: password_checked().
struct check_password {
    sasl::ask_password asked;
};

// A login has failed: write take_output(), then let the client wait for its answer. Answer: waited().
struct wait_a_while {
    std::chrono::seconds time;
};

// MAIL has been accepted: a new message begins. No answer; a failure shows at commit.
struct begin_message {};

// The message's data is about to arrive (DATA, first BDAT). Answer: content_opened().
struct open_content {};

// Content octets, as they are to be stored: the Received line, then the data without dot-stuffing. Valid
// until the next call of next(). No answer; a failure shows at commit.
struct append_content {
    std::span<const char> bytes;
};

// End of data: store, filter, make durable. The pointer is valid until the answer. Answer:
// message_committed().
struct commit_message {
    const mail::envelope* envelope = nullptr;
};

// The message that was begun is given up: RSET, EHLO, refused, too big, QUIT.
struct discard_message {};

// The session is over: write take_output(), then shut down and close.
struct close_session {
    std::string_view reason; // for the log: "smtp protocol done"
    bool abort = false;      // close without a reply (protocol overflow)
};

using server_action =
    std::variant<read_more, write_replies, start_tls, check_recipient, check_password, compute, wait_a_while,
                 begin_message, open_content, append_content, commit_message, discard_message, close_session>;

// ---- answers

struct recipient_verdict {
    enum class kind { remote, local, rejected, rejected_for_now, abort_session };
    kind what = kind::remote;
    std::string address;   // remote: forward-path to use; local: mailbox name
    std::string full_name; // local, for VRFY
    std::string response;  // rejected: text behind 550 or 450; may be empty
    std::string reason;    // rejected: for the log
};

// How the end of data is answered (spec/smtp-server.md section 7).
struct commit_outcome {
    int code = 250;
    std::string text = "message processed";
};

class server_engine {
public:
    // `settings` and the logger's sink outlive the engine.
    server_engine(const server_settings& settings, peer_info peer, base::logger log);
    ~server_engine();
    server_engine(server_engine&&) noexcept;
    server_engine& operator=(server_engine&&) noexcept;

    // Before start(): clients have to log in, or to come from a trusted address.
    void require(authentication how);

    // First of all with implicit TLS, or the answer to start_tls: from here on the session is encrypted.
    void tls_established(base::tls_session session);
    // The handshake has failed: the session is over, without a reply.
    void tls_failed(std::string_view reason);

    // Before anything else: queues the greeting (or 421 for a server that is disabled for new sessions).
    void start(bool service_available = true);

    // What the peer sent. The octets must stay where they are until next() has returned read_more or
    // close_session.
    void feed(std::span<const char> bytes);

    server_action next();

    void recipient_checked(recipient_verdict verdict);
    void password_checked(std::optional<sasl::verdict> verdict); // nothing: nobody could tell
    void computed();
    void waited();
    void content_opened(const base::calendar_time& now);
    void message_committed(const commit_outcome& outcome);

    // The driver ends the session (limit, shutdown): queues the reply, e.g. "421 ...", and makes next() say
    // close.
    void end_session(int code, std::string_view text, std::string_view reason);

    std::string take_output();
    bool has_output() const noexcept;

    // For the limits on time, asked after read_more. From the first octet of a command line to its last:
    bool in_command() const noexcept;
    // Lines that have ended so far: whether it is still the same one.
    std::uint64_t lines() const noexcept;
    // Within DATA, or within the octets of a BDAT chunk:
    bool in_content() const noexcept;
    // The content of a message has begun and not ended: that, and between two chunks.
    bool awaits_content() const noexcept;

    bool encrypted() const noexcept;
    const std::optional<base::tls_session>& tls() const noexcept;
    // By which mechanism ("none"), and as whom, the client has logged in; or the keyword of its trusted
    // address.
    struct identity {
        std::string_view mechanism = "none";
        std::string_view id{};
    };
    identity client_identity() const;
    // Argument of the latest HELO or EHLO; empty before.
    const std::string& helo() const noexcept;

    // Whether what was fed since the last call held a password: the buffer is to be wiped.
    bool took_secret() noexcept;

    // RSET commands so far: what the driver keeps for the session's messages goes with them.
    unsigned resets() const noexcept;

private:
    struct impl;
    std::unique_ptr<impl> impl_;
};

} // namespace smtp
