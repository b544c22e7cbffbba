#include "net/connector.hpp"
#include "net/listener.hpp"
#include "net/network_test.hpp"
#include "net/resolver.hpp"
#include "net/worker.hpp"

#include <gtest/gtest.h>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <string>
#include <vector>

using net::network;
using net::read_all_of;
using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;

namespace {

net::awaitable<void> echo(net::worker& on, net::stream peer) {
    for (;;) {
        auto ready = co_await peer.readable();
        if (ready.has_error())
            co_return;
        auto buffer = on.buffers().take();
        auto n = peer.read_now(buffer.bytes());
        if (n.has_error())
            co_return;
        auto written = co_await peer.write({buffer.bytes().data(), *n});
        if (written.has_error())
            co_return;
    }
}

std::string temporary_socket() {
    char name[] = "/tmp/net_test.XXXXXX";
    return std::string(::mkdtemp(name)) + "/socket";
}

} // namespace

namespace {

net::awaitable<void> write_all(net::stream& to, const std::string& text) {
    auto written = co_await to.write(text);
    EXPECT_TRUE(written.has_value());
}

net::awaitable<void> expect_echo(net::worker& on, net::target to, const std::string& text, base::logger log) {
    net::connector connector(on, std::nullopt);
    auto stream = co_await connector.connect(std::move(to), seconds(5));
    EXPECT_TRUE(stream.has_value());
    if (!stream)
        co_return;
    stream->deadline(steady_clock::now() + seconds(20));
    net::spawn(on, write_all(*stream, text), log,
               "writer"); // beside the reader: neither side can hold it all
    std::string back = co_await read_all_of(*stream, text.size());
    EXPECT_TRUE(back == text);
}

// Both ends are sockets of this process.
int ends_without_delay(std::uint16_t port) {
    int found = 0;
    for (int fd = 0; fd < 1024; ++fd) {
        sockaddr_in here{}, there{};
        socklen_t size = sizeof here;
        if (::getpeername(fd, reinterpret_cast<sockaddr*>(&there), &size) != 0 || there.sin_family != AF_INET)
            continue;
        size = sizeof here;
        ::getsockname(fd, reinterpret_cast<sockaddr*>(&here), &size);
        int set = 0;
        size = sizeof set;
        ::getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &set, &size);
        if ((ntohs(here.sin_port) == port || ntohs(there.sin_port) == port) && set != 0)
            ++found;
    }
    return found;
}

net::awaitable<void> expect_no_delay(net::worker& on, net::target to, std::uint16_t port) {
    net::connector connector(on, std::nullopt);
    auto stream = co_await connector.connect(std::move(to), seconds(5));
    EXPECT_TRUE(stream.has_value());
    if (!stream)
        co_return;
    stream->deadline(steady_clock::now() + seconds(20));
    co_await write_all(*stream, "x");
    std::string back = co_await read_all_of(*stream, 1);
    EXPECT_EQ(back, "x");
    EXPECT_EQ(ends_without_delay(port), 2);
}

} // namespace

TEST_F(network, what_is_sent_comes_back_over_tcp) {
    auto listener = net::listener::open(workers[0], "127.0.0.1", 0);
    ASSERT_TRUE(listener.has_value());
    accept_with(*listener, echo);
    std::string text(3'000'000, 'x'); // more than the socket buffers hold
    run(expect_echo(workers[0], {"", "127.0.0.1", std::to_string(listener->local().port)}, text, log));
}

TEST_F(network, neither_end_of_a_connection_holds_small_writes_back) {
    auto listener = net::listener::open(workers[0], "127.0.0.1", 0);
    ASSERT_TRUE(listener.has_value());
    accept_with(*listener, echo);
    std::uint16_t port = listener->local().port;
    run(expect_no_delay(workers[0], {"", "127.0.0.1", std::to_string(port)}, port));
}

TEST_F(network, what_is_sent_comes_back_over_a_unix_socket_whose_file_goes_with_the_listener) {
    std::string path = temporary_socket();
    {
        auto listener = net::listener::open(workers[0], path, 0);
        ASSERT_TRUE(listener.has_value());
        EXPECT_EQ(listener->local().display(), path);
        accept_with(*listener, echo);
        std::string text(3'000'000, 'x');
        run(expect_echo(workers[0], {path, "", ""}, text, log));
        EXPECT_EQ(::access(path.c_str(), F_OK), 0);
    }
    EXPECT_NE(::access(path.c_str(), F_OK), 0);
}

TEST_F(network, listening_twice_on_one_port_is_an_error) {
    auto first = net::listener::open(workers[0], "127.0.0.1", 0);
    ASSERT_TRUE(first.has_value());
    auto second = net::listener::open(workers[0], "127.0.0.1", first->local().port);
    ASSERT_TRUE(second.has_error());
    EXPECT_EQ(second.error().message(), "socket bind error: address already in use");
}

TEST_F(network, addresses_that_are_none_are_named) {
    auto error_of = [this](const char* address) {
        return net::listener::open(workers[0], address, 0).error().message();
    };
    EXPECT_EQ(error_of("foo/bar"), "invalid address or interface name: foo/bar");
    EXPECT_EQ(error_of("1.2.3"), "invalid address or interface name: 1.2.3");
    EXPECT_EQ(error_of("fd#x"), "socket error: no bound address on fd x");
    EXPECT_EQ(error_of("fd#999"), "socket error: no bound address on fd 999");
    EXPECT_EQ(error_of(("/" + std::string(200, 'x')).c_str()),
              "address error: unix-domain socket path is too long: /" + std::string(200, 'x'));
}

TEST_F(network, brackets_around_ipv6_are_fine) {
    auto listener = net::listener::open(workers[0], "[::1]", 0);
    ASSERT_TRUE(listener.has_value());
    EXPECT_TRUE(listener->local().ipv6);
}

TEST_F(network, an_ipv4_peer_of_a_socket_for_both_families_is_an_ipv4_peer) {
    int fd = ::socket(AF_INET6, SOCK_STREAM, 0);
    sockaddr_in6 any{};
    any.sin6_family = AF_INET6;
    ASSERT_EQ(::bind(fd, reinterpret_cast<const sockaddr*>(&any), sizeof any), 0);
    auto listener = net::listener::open(workers[0], "fd#" + std::to_string(fd), 0);
    ASSERT_TRUE(listener.has_value());
    EXPECT_EQ(listener->local().address, "::");
    net::endpoint seen;
    auto look = [this, &seen](net::worker& on, net::stream s) {
        seen = s.peer();
        EXPECT_EQ(s.local().address, "127.0.0.1");
        net::spawn(on, echo(on, std::move(s)), log, "echo");
    };
    listener->accept(workers, look, log);
    run(expect_echo(workers[0], {"", "127.0.0.1", std::to_string(listener->local().port)}, "x", log));
    workers.stop();
    EXPECT_EQ(seen.address, "127.0.0.1");
    EXPECT_FALSE(seen.ipv6);
    EXPECT_TRUE(net::is_local(seen));
}

namespace {

net::awaitable<void> expect_timeout(net::worker& on, net::target to) {
    net::connector connector(on, std::nullopt);
    auto stream = co_await connector.connect(std::move(to), seconds(5));
    EXPECT_TRUE(stream.has_value());
    auto begin = steady_clock::now();
    // Moved on while waiting, as a session does at each read; the last one counts.
    stream->deadline(begin + seconds(60));
    stream->deadline(begin + milliseconds(50));
    auto ready = co_await stream->readable();
    EXPECT_TRUE(ready.has_error() && net::stream::is_timeout(ready.error()));
    EXPECT_GE(steady_clock::now() - begin, milliseconds(50));
    stream->deadline(steady_clock::now() + seconds(60)); // afterwards it can be used again
    net::stream* waiting = &*stream;                     // and the deadline be set nearer meanwhile
    on.post([waiting] { waiting->deadline(steady_clock::now() + milliseconds(50)); });
    ready = co_await stream->readable();
    EXPECT_TRUE(ready.has_error() && net::stream::is_timeout(ready.error()));
    stream->deadline(steady_clock::now() + seconds(60));
    auto written = co_await stream->write("x");
    EXPECT_TRUE(written.has_value());
}

net::awaitable<void> expect_interrupt(net::worker& on, net::target to) {
    net::connector connector(on, std::nullopt);
    auto stream = co_await connector.connect(std::move(to), seconds(5));
    EXPECT_TRUE(stream.has_value());
    stream->interrupt();
    auto ready = co_await stream->readable();
    EXPECT_TRUE(ready.has_error() && net::stream::is_interrupt(ready.error()));
    net::stream* waiting = &*stream;
    on.post([waiting] { waiting->interrupt(); });
    ready = co_await stream->readable();
    EXPECT_TRUE(ready.has_error() && net::stream::is_interrupt(ready.error()));
}

// With a peer that reads nothing.
net::awaitable<void> expect_abandoned(net::worker& on, net::target to) {
    net::connector connector(on, std::nullopt);
    auto stream = co_await connector.connect(std::move(to), seconds(5));
    EXPECT_TRUE(stream.has_value());
    stream->deadline(steady_clock::now() + seconds(60));
    const std::string more_than_fits(64 << 20, 'x');
    net::stream* writing = &*stream;
    on.post([writing] { writing->abandon(); });
    auto written = co_await stream->write(more_than_fits);
    EXPECT_TRUE(written.has_error() && net::stream::is_interrupt(written.error()));
    written = co_await stream->write(more_than_fits);
    EXPECT_TRUE(written.has_error() && net::stream::is_interrupt(written.error()));
    auto ready = co_await stream->readable();
    EXPECT_TRUE(ready.has_error());
}

net::awaitable<void> hold(net::worker&, net::stream peer) {
    auto ready = co_await peer.readable();
    (void)ready.has_error();
}

} // namespace

TEST_F(network, a_deadline_ends_a_wait) {
    auto listener = net::listener::open(workers[0], "127.0.0.1", 0);
    ASSERT_TRUE(listener.has_value());
    accept_with(*listener, hold);
    run(expect_timeout(workers[0], {"", "127.0.0.1", std::to_string(listener->local().port)}));
}

TEST_F(network, an_interrupt_ends_a_wait_or_the_next_one) {
    auto listener = net::listener::open(workers[0], "127.0.0.1", 0);
    ASSERT_TRUE(listener.has_value());
    accept_with(*listener, hold);
    run(expect_interrupt(workers[0], {"", "127.0.0.1", std::to_string(listener->local().port)}));
}

TEST_F(network, nothing_waits_for_the_peer_of_an_abandoned_connection) {
    auto listener = net::listener::open(workers[0], "127.0.0.1", 0); // connections stay in its queue
    ASSERT_TRUE(listener.has_value());
    run(expect_abandoned(workers[0], {"", "127.0.0.1", std::to_string(listener->local().port)}));
}

namespace {

net::awaitable<void> expect_error(net::worker& on, net::target to, std::optional<net::local_interface> from,
                                  std::string text) {
    net::connector connector(on, std::move(from));
    auto stream = co_await connector.connect(std::move(to), seconds(5));
    EXPECT_TRUE(stream.has_error());
    if (stream.has_error()) {
        EXPECT_TRUE(stream.error().message().starts_with(text)) << stream.error().message();
    }
}

} // namespace

TEST_F(network, refused_connections_say_where) {
    std::string port;
    {
        auto listener = net::listener::open(workers[0], "127.0.0.1", 0); // a port that nobody listens on
        ASSERT_TRUE(listener.has_value());
        port = std::to_string(listener->local().port);
    }
    run(expect_error(workers[0], {"", "127.0.0.1", port}, std::nullopt,
                     "connect failure: cannot connect to 127.0.0.1:" + port));
}

TEST_F(network, a_missing_unix_socket_says_why) {
    run(expect_error(workers[0], {"/nonexistent/socket", "", ""}, std::nullopt,
                     "connect failure: cannot connect to /nonexistent/socket: no such file or directory"));
}

TEST_F(network, a_literal_of_the_other_family_is_no_host) {
    run(expect_error(workers[0], {"", "::1", "25"}, net::local_interface{"0.0.0.0", 0, false},
                     "dns error: no such ipv4 host: \"::1\" ("));
}

TEST_F(network, an_address_that_is_not_ours_cannot_be_bound) {
    run(expect_error(workers[0], {"", "127.0.0.1", "25"}, net::local_interface{"192.0.2.1", 0, false},
                     "socket bind error: "));
}

namespace {

net::awaitable<void> expect_localhost(net::worker& on, std::string service, std::uint16_t port) {
    auto found = co_await on.names().look_up("localhost", std::move(service), net::address_family::ipv4,
                                             steady_clock::now() + seconds(5));
    EXPECT_TRUE(found.has_value());
    if (found) {
        EXPECT_EQ(found->front().address, "127.0.0.1");
        EXPECT_EQ(found->front().port, port);
    }
}

} // namespace

TEST_F(network, names_of_the_hosts_file_and_services_are_known) {
    run(expect_localhost(workers[0], "smtp", 25));
}

TEST(local_interface, forms) {
    auto shown = [](const char* text) -> std::string {
        auto parsed = net::parse_local_interface(text);
        return parsed ? parsed->address + " " + std::to_string(parsed->port) : parsed.error().message();
    };
    EXPECT_EQ(shown("1.2.3.4"), "1.2.3.4 0");
    EXPECT_EQ(shown("1.2.3.4:99"), "1.2.3.4 99");
    EXPECT_EQ(shown("0.0.0.0"), "0.0.0.0 0");
    EXPECT_EQ(shown("::"), ":: 0");
    EXPECT_EQ(shown("[::1]:99"), "::1 99");
    EXPECT_EQ(shown("::1.99"), "::1 99");
    EXPECT_EQ(shown("example.com"), "address error: invalid network address: example.com");
    EXPECT_EQ(shown("1.2.3.4:65536"), "address error: invalid network address: 1.2.3.4:65536");
}
