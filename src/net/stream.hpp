// One connection, TCP or unix-domain, with a deadline; in clear, and after start_tls() encrypted.
//
// Lives on the thread of its worker and is used there only. Every wait ends when the deadline passes: the
// operation then gives errc::timed_out. End of file is an error too (`is_end`): nobody goes on reading after
// it.
#pragma once

#include "base/result.hpp"
#include "base/tls_session.hpp"
#include "net/address.hpp"

#include <boost/asio/awaitable.hpp>

#include <chrono>
#include <cstddef>
#include <memory>
#include <span>
#include <string_view>

namespace tls {
class context;
}

namespace net {

template <class T>
using awaitable = boost::asio::awaitable<T>;
using time_point = std::chrono::steady_clock::time_point;

// The end of a limit that begins now; a limit of 0 has none: time_point::max().
inline time_point deadline_after(std::chrono::seconds limit) {
    return limit.count() > 0 ? std::chrono::steady_clock::now() + limit : time_point::max();
}

class activity;
class background;

// What TLS on a connection needs: keys and the like, and threads for the arithmetic of handshakes. Both
// outlive the connection.
struct tls_service {
    tls::context& context;
    background& handshakes;
};

class stream {
public:
    struct impl;
    explicit stream(std::shared_ptr<impl> i);
    stream(stream&&) noexcept;
    stream& operator=(stream&&) noexcept;
    ~stream(); // closes

    // Waits until something can be read (or the peer is gone). Holds no buffer meanwhile. What else is ready
    // on this thread runs first, also when there is nothing to wait for: who reads without end holds up
    // nobody.
    awaitable<base::result<void>> readable();
    // What is there now, without waiting; 0 when nothing is.
    base::result<std::size_t> read_now(std::span<char> into);
    // All of it.
    awaitable<base::result<void>> write(std::string_view bytes);

    // The handshake, within the deadline. From then on the functions above and shutdown_send() deal in plain
    // text, and the end of our side is announced to the peer. What the caller has read in clear beyond the
    // command that led here is the caller's to drop. After an error (is_tls_failure, or as for reading) the
    // connection is of no more use. Once per connection.
    awaitable<base::result<base::tls_session>> start_tls(tls_service with);

    // For all waits from now on, also one that is going on. time_point::max() = none.
    void deadline(time_point when);

    // Ends the wait to read that is going on, or else the next one, with errc::operation_canceled; later ones
    // work again. Writing is not interrupted.
    void interrupt();
    // Likewise, and nothing is written any more that the peer does not take at once: for the end of a
    // connection whose peer is owed nothing.
    void abandon();

    // Whether the peer has ended its side, also behind octets that have not been read.
    bool peer_has_closed() const noexcept;

    void shutdown_send();
    void close();
    // Close without lingering: the peer sees a reset if it had sent more.
    void reset();

    // Accepted and taken in: it counts as an incoming connection until it is closed.
    void count_in(activity& among);

    const endpoint& peer() const noexcept;
    const endpoint& local() const noexcept;

    static bool is_end(const base::error& e) noexcept;
    static bool is_timeout(const base::error& e) noexcept;
    static bool is_interrupt(const base::error& e) noexcept;
    // The peer does not keep to TLS, or has refused to go on: the text is the library's.
    static bool is_tls_failure(const base::error& e) noexcept;

private:
    awaitable<base::result<void>> send(std::string_view bytes);
    awaitable<base::result<void>> encrypt(std::string_view bytes); // and send
    base::result<void> receive_ciphertext();

    std::shared_ptr<impl> impl_; // shared with the deadline timer's handler alone
};

} // namespace net
