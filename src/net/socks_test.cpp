#include "net/socks.hpp"

#include "net/connector.hpp"
#include "net/listener.hpp"
#include "net/network_test.hpp"

#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <utility>
#include <vector>

using net::network;
using net::read_socks_reply;
using net::socks_answer;
using net::socks_request;
using std::chrono::seconds;
using namespace std::string_literals;

TEST(socks, a_request_names_port_and_host) {
    EXPECT_EQ(socks_request("mail.example.net", 25).value(),
              "\x04\x01\x00\x19\x00\x00\x00\x01\x00mail.example.net\x00"s);
    EXPECT_EQ(socks_request("h", 0x1234).value(), "\x04\x01\x12\x34\x00\x00\x00\x01\x00h\x00"s);
    EXPECT_EQ(socks_request("h", 65535).value(), "\x04\x01\xff\xff\x00\x00\x00\x01\x00h\x00"s);
    EXPECT_EQ(socks_request("127.0.0.1", 587).value(),
              "\x04\x01\x02\x4b\x00\x00\x00\x01\x00"s + "127.0.0.1\x00"s)
        << "a literal goes as a name too";
}

TEST(socks, a_name_that_would_break_the_request_is_refused) {
    for (const std::string& host : {""s, "a\0b"s, "\0"s, std::string(256, 'x')}) {
        auto request = socks_request(host, 25);
        ASSERT_TRUE(request.has_error());
        EXPECT_EQ(request.error().message(), "socks error: invalid host name");
    }
    EXPECT_TRUE(socks_request(std::string(255, 'x'), 25).has_value());
}

TEST(socks, replies) {
    const std::string rest = "\x12\x34\x7f\x00\x00\x01"s; // address and port say nothing to us
    EXPECT_EQ(read_socks_reply("\x00\x5a"s + rest), socks_answer::granted);
    EXPECT_EQ(read_socks_reply("\x00\x5a\x00\x00\x00\x00\x00\x00"s), socks_answer::granted);
    for (char code : {'\x5b', '\x5c', '\x5d', '\x00', '\x5e', '\xff'})
        EXPECT_EQ(read_socks_reply("\x00"s + code + rest), socks_answer::rejected);
    for (char version : {'\x04', '\x05', '2', '\xff'})
        EXPECT_EQ(read_socks_reply(version + "\x5a"s + rest), socks_answer::invalid);
}

TEST(socks, a_reply_is_decided_as_soon_as_it_can_be) {
    const std::string granted = "\x00\x5a\x00\x00\x00\x00\x00\x00"s;
    for (std::size_t n = 0; n < granted.size(); ++n)
        EXPECT_EQ(read_socks_reply(granted.substr(0, n)), socks_answer::incomplete) << n;
    EXPECT_EQ(read_socks_reply("\x05"s), socks_answer::invalid);
    EXPECT_EQ(read_socks_reply("\x00\x5b"s), socks_answer::rejected);
}

// With a server

namespace {

// Takes the request and gives the reply in the pieces it is told; then the connection is closed or kept.
struct script {
    std::vector<std::string> pieces{};
    bool stay = true;
    std::string request{};                 // what came
    std::function<void()> on_request = {}; // called when it has
};

net::awaitable<void> serve(net::stream peer, script& what, std::size_t expected) {
    what.request = co_await net::read_all_of(peer, expected);
    if (what.on_request)
        what.on_request();
    for (const std::string& piece : what.pieces) {
        auto written = co_await peer.write(piece);
        EXPECT_TRUE(written.has_value());
        co_await net::sleep_for(std::chrono::milliseconds(1)); // so that they arrive as they are cut
    }
    if (!what.stay)
        co_return;
    auto ended = co_await peer.readable();
    (void)ended.has_error();
}

const std::string granted = "\x00\x5a\x00\x00\x00\x00\x00\x00"s;
const std::string request_for_far_host = "\x04\x01\x00\x19\x00\x00\x00\x01\x00"s + "far.example\x00"s;

net::awaitable<void> expect_greeting(net::worker& on, net::target to) {
    net::connector connector(on, std::nullopt);
    auto stream = co_await connector.connect(std::move(to), seconds(20));
    EXPECT_TRUE(stream.has_value());
    if (!stream)
        co_return;
    std::string greeting = co_await net::read_all_of(*stream, 11);
    EXPECT_EQ(greeting, "220 ready\r\n");
}

net::awaitable<void> expect_socks_error(net::worker& on, net::target to, std::string wanted) {
    net::connector connector(on, std::nullopt);
    auto stream = co_await connector.connect(std::move(to), seconds(20));
    EXPECT_TRUE(stream.has_error());
    if (stream.has_error()) {
        EXPECT_EQ(stream.error().message(), wanted);
    }
}

net::awaitable<void> expect_interrupted(net::worker& on, net::target to, script& what) {
    net::connector connector(on, std::nullopt);
    what.on_request = [&connector] {
        connector.interrupt();
    };
    auto stream = co_await connector.connect(std::move(to), seconds(20));
    EXPECT_TRUE(stream.has_error());
    if (stream.has_error()) {
        EXPECT_EQ(stream.error().message(), "connect failure: interrupted: operation canceled");
    }
}

// One thread: what a script was sent can be looked at afterwards.
class socks_server : public network {
protected:
    socks_server() : network(1), listener_(net::listener::open(workers[0], "127.0.0.1", 0)) {
        auto handler = [this](net::worker& on, net::stream s) {
            net::spawn(on, serve(std::move(s), said, request_for_far_host.size()), log, "socks server");
        };
        listener_.value().accept(workers, handler, log);
    }

    net::target far_host(std::string port = "25") const {
        net::target to{"", "127.0.0.1", std::to_string(listener_->local().port)};
        to.far_host = "far.example";
        to.far_service = std::move(port);
        return to;
    }

    script said;

private:
    base::result<net::listener> listener_;
};

} // namespace

TEST_F(socks_server, what_follows_the_reply_is_left_for_the_reader) {
    said.pieces = {granted + "220 ready\r\n"};
    run(expect_greeting(workers[0], far_host()));
    EXPECT_EQ(said.request, request_for_far_host);
}

TEST_F(socks_server, a_reply_may_come_in_pieces) {
    for (char c : granted + "220 ready\r\n")
        said.pieces.emplace_back(1, c);
    run(expect_greeting(workers[0], far_host()));
}

TEST_F(socks_server, a_refusal_is_named) {
    said.pieces = {"\x00\x5b\x00\x00\x00\x00\x00\x00"s};
    run(expect_socks_error(workers[0], far_host(), "socks error: request rejected"));
}

TEST_F(socks_server, something_else_than_a_socks_server_is_named) {
    said.pieces = {"HTTP/1.0 400 Bad Request\r\n\r\n"};
    run(expect_socks_error(workers[0], far_host(), "socks error: invalid response"));
}

TEST_F(socks_server, an_end_instead_of_a_reply_is_named) {
    said.stay = false;
    run(expect_socks_error(workers[0], far_host(), "socks error: disconnected"));
}

TEST_F(socks_server, an_end_inside_the_reply_is_named) {
    said.pieces = {granted.substr(0, 7)};
    said.stay = false;
    run(expect_socks_error(workers[0], far_host(), "socks error: disconnected"));
}

TEST_F(socks_server, the_exchange_can_be_interrupted) {
    run(expect_interrupted(workers[0], far_host(), said));
}

TEST_F(socks_server, the_far_port_is_a_number) {
    run(expect_socks_error(workers[0], far_host("smtp"), "socks error: invalid port: smtp"));
}
