// Reading and writing are tried at once and wait only when the kernel says so; a write of a reply therefore
// costs one system call and no suspension. The deadline is a time kept beside one timer that is set anew only
// when it fires too early, so moving the deadline at every read costs nothing.
#include "net/stream.hpp"

#include "net/asio_stream.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cstring>

namespace net {

namespace asio = boost::asio;

namespace {

constexpr auto token = asio::as_tuple(asio::use_awaitable);

const char* const no_peer = "peer disconnected";

} // namespace

endpoint to_endpoint(const asio::generic::stream_protocol::endpoint& e) {
    endpoint out;
    switch (e.protocol().family()) {
    case AF_INET:
    case AF_INET6: {
        asio::ip::tcp::endpoint tcp;
        std::memcpy(tcp.data(), e.data(), std::min(e.size(), tcp.capacity()));
        asio::ip::address address = tcp.address();
        // An inherited socket may take both families: an IPv4 peer is one for the log and for who is local.
        if (address.is_v6() && address.to_v6().is_v4_mapped())
            address = asio::ip::make_address_v4(asio::ip::v4_mapped, address.to_v6());
        out.address = address.to_string();
        out.port = tcp.port();
        out.ipv6 = address.is_v6();
        break;
    }
    default: {
        sockaddr_un un{};
        std::memcpy(&un, e.data(), std::min(e.size(), sizeof un));
        out.unix_domain = true;
        out.address.assign(un.sun_path, ::strnlen(un.sun_path, sizeof un.sun_path));
        if (out.address.empty())
            out.address = "/";
    }
    }
    return out;
}

stream::impl::impl(generic_socket s) : socket(std::move(s)), timer(socket.get_executor()) {
    boost::system::error_code ignored;
    socket.native_non_blocking(true, ignored);
    socket.non_blocking(true, ignored);
    peer = to_endpoint(socket.remote_endpoint(ignored));
    local = to_endpoint(socket.local_endpoint(ignored));
    if (!local.unix_domain)
        socket.set_option(asio::ip::tcp::no_delay(true), ignored);
}

void stream::impl::arm() {
    if (deadline >= armed_for)
        return; // it fires early enough and looks again
    armed_for = deadline;
    timer.expires_at(deadline);
    timer.async_wait([weak = weak_from_this()](const boost::system::error_code& code) {
        auto self = weak.lock();
        if (!self || code)
            return; // gone, or set anew meanwhile
        self->armed_for = time_point::max();
        if (std::chrono::steady_clock::now() < self->deadline) {
            self->arm();
            return;
        }
        self->timed_out = true;
        boost::system::error_code ignored;
        self->socket.cancel(ignored);
    });
}

base::error stream::impl::why(const boost::system::error_code& code, const char* what) {
    if (timed_out)
        return base::make_error(ETIMEDOUT, what);
    if (interrupted) {
        interrupted = false;
        return base::make_error(ECANCELED, what);
    }
    return {code, what};
}

stream make_stream(generic_socket socket) {
    return stream(std::make_shared<stream::impl>(std::move(socket)));
}

stream::stream(std::shared_ptr<impl> i) : impl_(std::move(i)) {}
stream::stream(stream&&) noexcept = default;
stream& stream::operator=(stream&&) noexcept = default;

stream::~stream() {
    if (impl_)
        close();
}

awaitable<base::result<void>> stream::readable() {
    if (impl_->timed_out || impl_->interrupted)
        co_return impl_->why({}, "read");
    auto [code] = co_await impl_->socket.async_wait(generic_socket::wait_read, token);
    if (code || impl_->interrupted)
        co_return impl_->why(code, "read");
    co_return base::result<void>();
}

base::result<std::size_t> stream::read_now(std::span<char> into) {
    boost::system::error_code code;
    std::size_t n = impl_->socket.read_some(asio::buffer(into.data(), into.size()), code);
    if (code == asio::error::would_block || code == asio::error::interrupted)
        return std::size_t{0};
    if (code)
        return base::error{code, no_peer};
    return n;
}

awaitable<base::result<void>> stream::write(std::string_view bytes) {
    while (!bytes.empty()) {
        boost::system::error_code code;
        std::size_t n = impl_->socket.write_some(asio::buffer(bytes.data(), bytes.size()), code);
        bytes.remove_prefix(n);
        if (code == asio::error::interrupted)
            continue;
        if (code && code != asio::error::would_block)
            co_return base::error{code, no_peer};
        if (bytes.empty())
            break;
        if (impl_->timed_out)
            co_return impl_->why({}, "write");
        auto [failed] = co_await impl_->socket.async_wait(generic_socket::wait_write, token);
        if (failed && !impl_->interrupted) // an interrupted session still gets its last reply out
            co_return impl_->why(failed, "write");
    }
    co_return base::result<void>();
}

void stream::deadline(time_point when) {
    impl_->deadline = when;
    impl_->timed_out = false;
    impl_->arm();
}

void stream::interrupt() {
    impl_->interrupted = true;
    boost::system::error_code ignored;
    impl_->socket.cancel(ignored);
}

void stream::shutdown_send() {
    boost::system::error_code ignored;
    impl_->socket.shutdown(generic_socket::shutdown_send, ignored);
}

void stream::close() {
    impl_->timer.cancel();
    boost::system::error_code ignored;
    impl_->socket.close(ignored);
}

void stream::reset() {
    boost::system::error_code ignored;
    impl_->socket.set_option(asio::socket_base::linger(true, 0), ignored);
    close();
}

const endpoint& stream::peer() const noexcept {
    return impl_->peer;
}

const endpoint& stream::local() const noexcept {
    return impl_->local;
}

bool stream::is_end(const base::error& e) noexcept {
    return e.code == asio::error::eof;
}

bool stream::is_timeout(const base::error& e) noexcept {
    return e.code == boost::system::errc::timed_out;
}

bool stream::is_interrupt(const base::error& e) noexcept {
    return e.code == boost::system::errc::operation_canceled;
}

} // namespace net
