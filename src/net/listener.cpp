#include "net/listener.hpp"

#include "net/asio_stream.hpp"
#include "net/worker.hpp"
#include "os/identity.hpp"
#include "os/memory.hpp"

#include "base/text.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ip/v6_only.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <climits>

namespace net {

namespace asio = boost::asio;
using asio::generic::stream_protocol;
using acceptor = asio::basic_socket_acceptor<stream_protocol>;

struct listener::impl {
    explicit impl(worker& on) : home(on), socket(on.context()) {}
    ~impl() { remove_file(); }

    void remove_file() {
        if (file.empty())
            return;
        os::root_scope privileged;
        struct stat now {};
        if (::lstat(file.c_str(), &now) == 0 && now.st_dev == device && now.st_ino == inode)
            ::unlink(file.c_str());
        file.clear();
    }

    worker& home;
    acceptor socket;
    endpoint local;
    activity::part counted;
    bool stopped = false;
    std::string file; // unix-domain socket made by us
    dev_t device = 0;
    ino_t inode = 0;
};

namespace {

base::error bind_error(const boost::system::error_code& code) {
    return {code, "socket bind error"};
}

// Connections wait in the kernel, not in the air: as long a queue as the system allows.
constexpr int longest_backlog = INT_MAX;

} // namespace

listener::listener(std::shared_ptr<impl> i) : impl_(std::move(i)) {}
listener::listener(listener&&) noexcept = default;

listener& listener::operator=(listener&& other) noexcept {
    // Closes: the accepting coroutine shares the socket and would go on.
    listener replaced(std::move(impl_));
    impl_ = std::move(other.impl_);
    return *this;
}

listener::~listener() {
    if (impl_)
        stop();
}

base::result<listener> listener::open(worker& on, const std::string& address, std::uint16_t port) {
    auto made = std::make_shared<impl>(on);
    acceptor& socket = made->socket;
    boost::system::error_code code;
    int family = AF_UNIX;

    if (address.starts_with("fd#")) {
        auto number = base::to_number(std::string_view(address).substr(3));
        sockaddr_storage bound{};
        socklen_t size = sizeof bound;
        if (!number || *number > INT_MAX ||
            ::getsockname(static_cast<int>(*number), reinterpret_cast<sockaddr*>(&bound), &size) != 0)
            return base::error{{}, "socket error: no bound address on fd " + address.substr(3)};
        family = bound.ss_family;
        socket.assign(stream_protocol(family, 0), static_cast<int>(*number), code);
        if (code)
            return base::error{code, "socket error"};
    } else if (address.starts_with('/')) {
        if (address.size() >= sizeof(sockaddr_un::sun_path))
            return base::error{{}, "address error: unix-domain socket path is too long: " + address};
        bool stays_root = ::geteuid() == 0;
        os::root_scope privileged;
        asio::local::stream_protocol::endpoint where(address);
        socket.open(stream_protocol(AF_UNIX, 0), code);
        mode_t before = ::umask(stays_root ? 0 : 007);
        if (!code)
            socket.bind(where, code);
        ::umask(before);
        if (code)
            return bind_error(code);
        struct stat file {};
        if (::lstat(address.c_str(), &file) == 0) {
            made->file = address;
            made->device = file.st_dev;
            made->inode = file.st_ino;
        }
    } else if (address.find('/') != std::string::npos) {
        return base::error{{}, "invalid address or interface name: " + address};
    } else {
        std::string literal = address;
        if (literal.size() > 2 && literal.front() == '[' && literal.back() == ']')
            literal = literal.substr(1, literal.size() - 2);
        auto ip = asio::ip::make_address(literal, code);
        if (code)
            return base::error{{}, "invalid address or interface name: " + address};
        os::root_scope privileged; // ports below 1024
        asio::ip::tcp::endpoint where(ip, port);
        family = where.protocol().family();
        socket.open(where.protocol(), code);
        if (!code)
            socket.set_option(asio::socket_base::reuse_address(true), code);
        if (!code && ip.is_v6())
            socket.set_option(asio::ip::v6_only(true), code);
        if (!code)
            socket.bind(where, code);
        if (code)
            return bind_error(code);
    }
    if (family != AF_UNIX) // what is accepted inherits it: no Nagle's delay
        socket.set_option(asio::ip::tcp::no_delay(true), code);
    // To be told of a connection that has gone while it waited: Asio would else wait for a further one, and
    // leave those behind it where they are.
    if (!code)
        socket.set_option(asio::socket_base::enable_connection_aborted(true), code);
    if (!code)
        socket.listen(longest_backlog, code);
    if (code)
        return bind_error(code);
    made->local = to_endpoint(socket.local_endpoint(code));
    return listener(std::move(made));
}

const endpoint& listener::local() const noexcept {
    return impl_->local;
}

void listener::stop() {
    impl_->stopped = true;
    impl_->counted.end();
    boost::system::error_code ignored;
    impl_->socket.close(ignored);
    impl_->remove_file();
}

namespace {

// Errors that mean "this connection is gone already", as against "no more descriptors".
bool concerns_one_connection(const boost::system::error_code& code) {
    return code == asio::error::connection_aborted || code == asio::error::interrupted ||
           code == boost::system::errc::protocol_error || code == asio::error::network_down ||
           code == asio::error::host_unreachable || code == asio::error::network_unreachable;
}

// Accepts one connection and hands it on. False: there are no descriptors for one.
template <class Listener>
awaitable<bool> accept_one(Listener& from, worker_group& workers, const listener::handler& handler,
                           bool& complained, const base::logger& log) {
    worker& on = workers.next();
    stream_protocol::endpoint peer;
    auto [code, socket] =
        co_await from.socket.async_accept(on.context(), peer, asio::as_tuple(asio::use_awaitable));
    if (from.stopped || concerns_one_connection(code))
        co_return true;
    if (code) {
        if (!complained)
            log.warning("new connection error: accept: {}", base::to_lower(code.message()));
        complained = true;
        co_return false;
    }
    complained = false;
    // The socket is made on its own thread: nothing of it is touched here any more.
    auto moved = std::make_shared<generic_socket>(std::move(socket));
    on.post([moved, peer, &on, handler] { handler(on, make_stream(std::move(*moved), peer)); });
    co_return true;
}

// Without descriptors or memory it pauses, and goes on.
template <class Listener>
awaitable<void> accept_loop(std::shared_ptr<Listener> from, worker_group& workers, listener::handler handler,
                            base::logger log) {
    constexpr std::chrono::milliseconds a_moment{100};
    bool complained = false;
    while (!from->stopped) {
        bool able = !os::memory_is_short();
        if (able)
            able = co_await accept_one(*from, workers, handler, complained, log);
        if (!able)
            co_await sleep_for(a_moment);
    }
}

} // namespace

void listener::accept(worker_group& workers, handler h, const base::logger& log) {
    impl_->counted = impl_->home.activity().listening(impl_->local);
    spawn(impl_->home, accept_loop(impl_, workers, std::move(h), log), log, "accept");
}

} // namespace net
