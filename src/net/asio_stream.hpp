// How a stream is made of an Asio socket; for the files of this folder that open sockets.
#pragma once

#include "net/activity.hpp"
#include "net/stream.hpp"
#include "tls/engine.hpp"

#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/steady_timer.hpp>

#include <memory>
#include <span>
#include <string>

namespace net {

using generic_socket = boost::asio::generic::stream_protocol::socket;

struct stream::impl : std::enable_shared_from_this<stream::impl> {
    impl(generic_socket s, endpoint from);

    void arm();
    base::error why(const boost::system::error_code& code, const char* what);
    base::result<std::size_t> receive(std::span<char> into); // without waiting; 0 when nothing is there
    base::result<std::size_t> decrypt_now(std::span<char> into);
    void send_now();  // of the ciphertext, what goes out without waiting
    void say_close(); // the close notification, if it goes out at once
    void collect_output();

    generic_socket socket;
    boost::asio::steady_timer timer;
    endpoint peer;
    endpoint local;
    activity::part counted; // until it is closed
    time_point deadline = time_point::max();
    time_point armed_for = time_point::max(); // when the timer will fire; max if it is not running
    int waits = 0;                            // that are going on
    bool timed_out = false;
    bool interrupted = false;
    bool abandoned = false;
    // TLS. Shared with a handshake step on another thread; the step that runs is the engine's only user.
    std::shared_ptr<tls::engine> engine;
    bool encrypted = false;   // the handshake is done
    std::string ciphertext{}; // to be sent before anything else
};

// One wait for the socket, within the deadline.
class timed_wait {
public:
    explicit timed_wait(stream::impl& on) : on_(on) {
        on_.arm();
        ++on_.waits;
    }
    ~timed_wait() { --on_.waits; }
    timed_wait(const timed_wait&) = delete;
    timed_wait& operator=(const timed_wait&) = delete;

private:
    stream::impl& on_;
};

// Of a connection that was made: it is set non-blocking and, for TCP, without Nagle's delay.
stream make_stream(generic_socket socket, activity::part counted);
// Of one that was accepted: what the listener has set holds for it, but that it is set non-blocking.
stream make_stream(generic_socket socket, const generic_socket::endpoint_type& from);

endpoint to_endpoint(const boost::asio::generic::stream_protocol::endpoint& e);

} // namespace net
