// Reading and writing are tried at once and wait only when the kernel says so; a write of a reply therefore
// costs one system call and no suspension. The deadline is a time kept beside one timer that runs only once
// something has been waited for, and is set anew only when it fires too early: moving the deadline at every
// read costs nothing.
//
// With TLS the engine stands between socket and caller. A record is decrypted on the network thread, where it
// was received; the steps of the handshake are done elsewhere. Octets that the engine wants to send on its
// own account (alerts, new keys) are held in `ciphertext` and go out before anything else; nothing more is
// read until they have, so a peer cannot make them pile up.
#include "net/stream.hpp"

#include "base/text.hpp"
#include "net/asio_stream.hpp"
#include "net/background.hpp"
#include "net/worker.hpp"
#include "os/sockets.hpp"
#include "tls/context.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <array>
#include <cstring>
#include <utility>

namespace net {

namespace asio = boost::asio;

namespace {

constexpr auto token = asio::as_tuple(asio::use_awaitable);

const char* const no_peer = "peer disconnected";

// A record holds 16 KiB; larger pieces save system calls when much is sent.
constexpr std::size_t most_received = 16 * 1024 + 1024;
constexpr std::size_t most_encrypted = 64 * 1024;

base::error tls_failure(const base::error& e) {
    return base::make_error(EPROTO, e.what);
}

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

stream::impl::impl(generic_socket s, endpoint from)
    : socket(std::move(s)), timer(socket.get_executor()), peer(std::move(from)) {
    boost::system::error_code ignored;
    socket.non_blocking(true, ignored);
    local = to_endpoint(socket.local_endpoint(ignored));
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
    if (interrupted || abandoned) {
        interrupted = false;
        return base::make_error(ECANCELED, what);
    }
    return {code, what};
}

stream make_stream(generic_socket socket, activity::part counted) {
    boost::system::error_code ignored;
    endpoint to = to_endpoint(socket.remote_endpoint(ignored));
    if (!to.unix_domain)
        socket.set_option(asio::ip::tcp::no_delay(true), ignored);
    auto made = std::make_shared<stream::impl>(std::move(socket), std::move(to));
    if (counted)
        counted.opened(made->local, made->peer);
    made->counted = std::move(counted);
    return stream(std::move(made));
}

// What a client's unix-domain socket is called is the client's choice: anything but a path could pass for an
// IP address, among the trusted ones or in the log.
stream make_stream(generic_socket socket, const generic_socket::endpoint_type& from) {
    endpoint peer = to_endpoint(from);
    const bool is_path = peer.address.starts_with('/') && base::printable(peer.address) == peer.address;
    if (peer.unix_domain && !is_path)
        peer.address = "/";
    return stream(std::make_shared<stream::impl>(std::move(socket), std::move(peer)));
}

stream::stream(std::shared_ptr<impl> i) : impl_(std::move(i)) {}
stream::stream(stream&&) noexcept = default;
stream& stream::operator=(stream&&) noexcept = default;

stream::~stream() {
    if (impl_)
        close();
}

base::result<std::size_t> stream::impl::receive(std::span<char> into) {
    boost::system::error_code code;
    std::size_t n = socket.read_some(asio::buffer(into.data(), into.size()), code);
    if (code == asio::error::would_block || code == asio::error::interrupted)
        return std::size_t{0};
    if (code)
        return base::error{code, no_peer};
    return n;
}

base::result<std::size_t> stream::impl::decrypt_now(std::span<char> into) {
    std::array<char, most_received> received;
    std::size_t have = 0;
    std::size_t taken = 0; // of the socket: records need not hold anything
    bool more = true;
    while (have < into.size()) {
        auto n = engine->read(into.subspan(have));
        collect_output();
        if (n.has_error()) {
            send_now(); // the alert
            if (have > 0)
                break; // the error is still there next time
            return tls_failure(n.error());
        }
        have += *n;
        if (*n > 0)
            continue;
        if (engine->peer_closed()) {
            if (have > 0)
                break;
            return base::error{asio::error::eof, no_peer};
        }
        if (!more || !ciphertext.empty())
            break;
        auto got = receive(received);
        if (got.has_error()) {
            if (have > 0)
                break;
            return got;
        }
        if (*got == 0)
            break;
        taken += *got;
        more = *got == received.size() && taken < into.size();
        engine->feed(std::span<const char>(received).first(*got));
    }
    send_now();
    return have;
}

void stream::impl::collect_output() {
    if (engine->has_output())
        ciphertext += engine->take_output();
}

void stream::impl::send_now() {
    while (!ciphertext.empty()) {
        boost::system::error_code code;
        std::size_t n = socket.write_some(asio::buffer(ciphertext), code);
        ciphertext.erase(0, n);
        if (code && code != asio::error::interrupted)
            return; // there is no room, or reading will find out
    }
    std::string().swap(ciphertext);
}

void stream::impl::say_close() {
    if (!engine || !encrypted || !socket.is_open())
        return;
    engine->close();
    collect_output();
    send_now();
}

awaitable<base::result<void>> stream::readable() {
    if (impl_->engine && !impl_->ciphertext.empty()) {
        auto sent = co_await send(std::string_view());
        if (sent.has_error())
            co_return sent;
    }
    if (impl_->timed_out || impl_->interrupted || impl_->abandoned)
        co_return impl_->why({}, "read");
    if (impl_->engine && impl_->engine->may_read()) {
        // Nothing is to be waited for. But a peer that is always ahead is not the only one on this thread,
        // and its time runs out like that of others.
        co_await give_way();
        impl_->timed_out = impl_->timed_out || std::chrono::steady_clock::now() >= impl_->deadline;
        if (impl_->timed_out || impl_->interrupted)
            co_return impl_->why({}, "read");
        co_return base::result<void>();
    }
    timed_wait begun(*impl_);
    auto [code] = co_await impl_->socket.async_wait(generic_socket::wait_read, token);
    if (code || impl_->interrupted)
        co_return impl_->why(code, "read");
    co_return base::result<void>();
}

base::result<std::size_t> stream::read_now(std::span<char> into) {
    return impl_->encrypted ? impl_->decrypt_now(into) : impl_->receive(into);
}

awaitable<base::result<void>> stream::write(std::string_view bytes) {
    return impl_->encrypted ? encrypt(bytes) : send(bytes);
}

awaitable<base::result<void>> stream::encrypt(std::string_view bytes) {
    while (!bytes.empty()) {
        std::string_view piece = bytes.substr(0, most_encrypted);
        bytes.remove_prefix(piece.size());
        auto written = impl_->engine->write(piece);
        if (written.has_error())
            co_return tls_failure(written.error());
        impl_->collect_output();
        auto sent = co_await send(std::string_view());
        if (sent.has_error())
            co_return sent;
    }
    co_return base::result<void>();
}

// The ciphertext that is due, or else these octets.
awaitable<base::result<void>> stream::send(std::string_view bytes) {
    const std::string due = std::exchange(impl_->ciphertext, {});
    if (!due.empty())
        bytes = due;
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
        if (impl_->timed_out || impl_->abandoned)
            co_return impl_->why({}, "write");
        timed_wait begun(*impl_);
        auto [failed] = co_await impl_->socket.async_wait(generic_socket::wait_write, token);
        // An interrupted session still gets its last reply out, an abandoned one does not.
        if (failed && (!impl_->interrupted || impl_->abandoned))
            co_return impl_->why(failed, "write");
    }
    co_return base::result<void>();
}

awaitable<base::result<base::tls_session>> stream::start_tls(tls_service with) {
    auto begin = [context = &with.context] {
        return std::shared_ptr<tls::engine>(context->begin());
    };
    std::shared_ptr<tls::engine> engine = co_await with.handshakes.run(begin);
    if (!engine)
        co_return base::make_error(ENOMEM, "tls");
    impl_->engine = engine;
    auto step = [engine] {
        return engine->handshake();
    };
    for (;;) {
        base::result<bool> done = co_await with.handshakes.run(step);
        impl_->collect_output();
        auto sent = co_await send(std::string_view());
        if (done.has_error())
            co_return tls_failure(done.error());
        if (sent.has_error())
            co_return sent.error();
        if (*done)
            break;
        auto ready = co_await readable();
        if (ready.has_error())
            co_return ready.error();
        auto got = receive_ciphertext();
        if (got.has_error())
            co_return got.error();
    }
    impl_->encrypted = true;
    co_return impl_->engine->session();
}

base::result<void> stream::receive_ciphertext() {
    std::array<char, most_received> received;
    auto got = impl_->receive(received);
    if (got.has_error())
        return got.error();
    impl_->engine->feed(std::span<const char>(received).first(*got));
    return {};
}

void stream::deadline(time_point when) {
    impl_->deadline = when;
    impl_->timed_out = false;
    if (impl_->waits > 0)
        impl_->arm();
}

void stream::interrupt() {
    impl_->interrupted = true;
    boost::system::error_code ignored;
    impl_->socket.cancel(ignored);
}

void stream::abandon() {
    impl_->abandoned = true;
    interrupt();
}

bool stream::peer_has_closed() const noexcept {
    return os::peer_has_closed(impl_->socket.native_handle());
}

void stream::shutdown_send() {
    impl_->say_close();
    boost::system::error_code ignored;
    impl_->socket.shutdown(generic_socket::shutdown_send, ignored);
}

void stream::close() {
    impl_->say_close();
    impl_->timer.cancel();
    boost::system::error_code ignored;
    impl_->socket.close(ignored);
    impl_->counted.end();
}

void stream::reset() {
    boost::system::error_code ignored;
    impl_->socket.set_option(asio::socket_base::linger(true, 0), ignored);
    close();
}

void stream::count_in(activity& among) {
    impl_->counted = among.incoming(impl_->local, impl_->peer);
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

bool stream::is_tls_failure(const base::error& e) noexcept {
    return e.code == boost::system::errc::protocol_error;
}

bool stream::is_interrupt(const base::error& e) noexcept {
    return e.code == boost::system::errc::operation_canceled;
}

} // namespace net
