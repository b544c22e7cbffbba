// The POP3 server's side of one session, without I/O (spec/pop-server.md; RFC 1939, 2449, 2595, 5034).
//
//     engine.feed(bytes);
//     for (;;) {
//         action todo = engine.next();
//         ... one branch per kind; where the comment names an answer function, call it before next() again
//     }
//
// Output comes in pieces: with write_output the driver writes what there is before the engine goes on, so
// that a large message or the listing of a large mailbox never gathers in memory. Nothing received in clear
// survives STLS. The engine knows no socket, file, clock or thread; it never throws.
#pragma once

#include "base/log.hpp"
#include "base/tls_session.hpp"
#include "pop/message_list.hpp"
#include "sasl/server.hpp"

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
#include <vector>

namespace pop {

struct server_settings {
    bool stls = false;         // there is TLS
    bool tls_required = false; // no authentication in clear
    // Limits; 0 = none. Octets are counted without CR-LF.
    std::size_t max_command_line = 4096;
    std::size_t max_auth_line = 12'288;
    unsigned max_errors = 20; // unknown, out of place, wrong form, failed authentication
};

// Who may log in, and what exchanges are made of.
struct authentication {
    sasl::server by;
    std::function<std::string()> challenge; // "<random.time@domain>", never the same, not to be guessed
};

// ---- what the driver has to do

struct read_more {};    // write take_output(), read from the peer, feed()
struct write_output {}; // write take_output(), then go on. No answer.

// STLS: write take_output(), then do the handshake; octets read beyond the command are to be dropped. Answer:
// tls_established(). If it fails there is nothing more to say.
struct start_tls {};

// The system knows whether the password is right. Answer: password_checked().
struct check_password {
    sasl::ask_password asked;
};
// Milliseconds of computing, for another thread; the engine stays where it is. Answer: computed().
struct compute {
    std::function<void()> job;
};
// A login has failed: write take_output(), then let the client wait. Answer: waited().
struct wait_a_while {
    std::chrono::seconds time;
};

// Logged in: list the mailbox. Answer: mailbox_opened().
struct open_mailbox {
    std::string user;
};
// Answer: message_opened().
struct open_message {
    std::string id;
};
// The next octets of that message. Answer: content().
struct read_content {};

// QUIT. Answer: deleted().
struct delete_messages {
    std::vector<std::string> ids;
};

struct close_session {
    std::string_view reason; // for the log
    bool abort = false;      // nothing more can be said
};

using action = std::variant<read_more, write_output, start_tls, check_password, compute, wait_a_while,
                            open_mailbox, open_message, read_content, delete_messages, close_session>;

class server_engine {
public:
    // The settings and the logger's sink outlive the engine.
    server_engine(const server_settings& settings, authentication how, std::string peer, base::logger log);
    ~server_engine();
    server_engine(const server_engine&) = delete;
    server_engine& operator=(const server_engine&) = delete;

    void start(); // queues the greeting; with TLS from the first octet call tls_established() before

    // The octets must stay where they are until next() has returned read_more or close_session.
    void feed(std::span<const char> bytes);
    action next();

    void tls_established(const base::tls_session& session);
    void password_checked(const std::optional<sasl::verdict>& verdict); // nothing: nobody could tell
    void computed();
    void waited();
    void mailbox_opened(std::optional<message_list> messages); // nothing: it cannot be had
    void message_opened(bool opened);
    void content(std::span<const char> bytes, bool last);
    void content_failed(); // the rest of it cannot be had
    void deleted(bool all);

    // The driver ends the session: "-ERR text".
    void end_session(std::string_view text, std::string_view reason);

    bool has_output() const noexcept;
    std::string take_output();
    bool in_command() const noexcept; // a line has begun and not ended
    // Lines that have ended so far: whether it is still the same one.
    std::uint64_t lines() const noexcept;

    // Whether a password, or the beginning of one, may have been among the octets fed: the buffer is to be
    // wiped.
    bool took_secret() noexcept;

private:
    struct impl;
    std::unique_ptr<impl> impl_;
};

} // namespace pop
