// What SMTP and POP sessions do alike with their client's connection: reading within the limits of time,
// writing, TLS, the last reply, and the words for how it ended.
//
// Belongs to one session, on its worker's thread. Memory: one read buffer, from the moment something has
// arrived until the next read.
#pragma once

#include "base/log.hpp"
#include "net/stream.hpp"
#include "net/worker.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

namespace relay {

class client_connection {
public:
    struct limits {
        std::chrono::seconds idle{};    // 0 = none
        std::chrono::seconds command{}; // for one that was begun and is not finished; 0 = none
    };

    client_connection(net::worker& on, net::stream peer, limits l, const base::logger& server);

    const net::endpoint& peer() const noexcept { return peer_.peer(); }
    const net::endpoint& local() const noexcept { return peer_.local(); }
    const base::logger& log() const noexcept { return log_; } // with the client in its lines
    net::stream& stream() noexcept { return peer_; }

    // How a wait ended.
    struct received {
        enum class kind {
            octets,      // in the buffer, until give_buffer_back()
            interrupted, // the stop
            late,        // the limit that the caller gave has passed
            over,        // the session is: `reason` says why
        };
        kind what = kind::octets;
        std::span<const char> octets{};
        std::string reason{};
    };

    // How far the client has come with its commands.
    struct command_progress {
        bool begun = false;         // one, and not finished it
        std::uint64_t finished = 0; // lines: when they are more, another command has begun
        bool operator==(const command_progress&) const = default;
    };

    // Waits for octets: no longer than the idle time, nor for the rest of a command, nor beyond `limit`.
    net::awaitable<received> read(command_progress now, net::time_point limit = net::time_point::max());

    // With a password in it it is wiped.
    void give_buffer_back(bool had_secret);

    // Empty, or why the session is over.
    net::awaitable<std::string> write(std::string_view replies);

    // Limited by the idle time as a whole, however slowly the client goes on. On failure `reason` says why
    // the session is over.
    net::awaitable<std::optional<base::tls_session>> start_tls(net::tls_service with, std::string& reason);

    // The last replies, and the end of our side; the peer's is not waited for.
    net::awaitable<void> say_goodbye(std::string_view replies);

    std::string idle_timeout_text() const;
    std::string lost(const base::error& why) const; // why the session is over; what TLS has to say is logged

private:
    net::worker& worker_;
    net::stream peer_;
    limits limits_;
    base::logger log_;
    net::buffer_pool::loan buffer_;
    std::size_t octets_read_ = 0; // into the buffer; 0 when there is none
    command_progress progress_{}; // at the last read
    net::time_point command_started_{};
};

} // namespace relay
