// A stream with TLS against a peer that is a TLS engine by hand behind a stream in clear: what it sends, and
// when, is the test's to say. All on one network thread, so a peer that has control knows that the other side
// waits.
#include "net/stream.hpp"

#include "net/background.hpp"
#include "net/connector.hpp"
#include "net/listener.hpp"
#include "net/network_test.hpp"
#include "tls/certificates_test.hpp"
#include "tls/context.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <utility>

using net::network;
using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;

namespace {

class tls_streams : public network, public ::testing::WithParamInterface<tls::library> {
protected:
    tls_streams() : network(1), listener_(net::listener::open(workers[0], "127.0.0.1", 0)) {
        std::string name = (std::filesystem::temp_directory_path() / "stream_tls_test.XXXXXX").string();
        folder_ = ::mkdtemp(name.data());
        static const tls::testing::authority authority;
        static const tls::testing::identity own = authority.issue("server.example");
        std::ofstream(folder_ / "server.pem") << own.key << own.certificate;
        std::filesystem::permissions(folder_ / "server.pem", std::filesystem::perms::owner_read);
        server_ = context(tls::role::server);
        client_ = context(tls::role::client);
        auto handler = [this](net::worker& on, net::stream s) {
            net::spawn(on, peer(*this, std::move(s)), log, "peer");
        };
        listener_.value().accept(workers, handler, log);
    }
    ~tls_streams() override {
        handshakes_.drain();
        std::filesystem::remove_all(folder_);
    }

public:
    using network::log, network::workers;
    // By the side of the stream that is tested.
    net::tls_service as_server() { return {*server_, handshakes_}; }
    net::tls_service as_client() { return {*client_, handshakes_}; }
    std::unique_ptr<tls::engine> server_by_hand() { return server_->begin(); }
    std::unique_ptr<tls::engine> client_by_hand() { return client_->begin(); }

    net::awaitable<base::result<net::stream>> connect() {
        net::connector connector(workers[0], std::nullopt);
        net::target to{"", "127.0.0.1", std::to_string(listener_->local().port)};
        auto made = co_await connector.connect(std::move(to), seconds(20));
        if (made)
            made->deadline(steady_clock::now() + seconds(60));
        co_return made;
    }

    net::awaitable<void> (*peer)(tls_streams&, net::stream) = nullptr;
    std::string seen;                               // by the peer
    bool writing = false;                           // the stream has begun to write
    net::stream* other = nullptr;                   // the stream that is tested
    static constexpr std::size_t large = 6'000'000; // more than the socket buffers hold

private:
    std::unique_ptr<tls::context> context(tls::role side) {
        tls::settings s;
        s.side = side;
        s.library.which = GetParam();
        if (side == tls::role::server)
            s.certificate_files = {(folder_ / "server.pem").string()};
        return std::move(tls::make_context(s, log).value());
    }

    std::filesystem::path folder_;
    std::unique_ptr<tls::context> server_, client_;
    os::worker_pool pool_{"tls", 1};
    net::background handshakes_{pool_};
    base::result<net::listener> listener_;
};

INSTANTIATE_TEST_SUITE_P(both, tls_streams, ::testing::Values(tls::library::openssl, tls::library::mbedtls),
                         [](const auto& of) {
                             return of.param == tls::library::openssl ? "openssl" : "mbedtls";
                         });

net::awaitable<std::string> read_some(net::stream& from) {
    auto ready = co_await from.readable();
    char buffer[4096];
    auto n = ready ? from.read_now(buffer) : base::result<std::size_t>(ready.error());
    co_return n ? std::string(buffer, *n) : std::string();
}

net::awaitable<void> until_it_ends(net::stream& wire) {
    std::string more;
    do {
        more = co_await read_some(wire);
    } while (!more.empty());
}

net::awaitable<void> write_cut(net::stream& to, std::string octets, std::size_t piece) {
    for (std::size_t at = 0; at < octets.size(); at += piece) {
        auto written = co_await to.write(std::string_view(octets).substr(at, piece));
        EXPECT_TRUE(written.has_value());
        co_await net::sleep_for(milliseconds(1)); // so that they arrive as they are cut
    }
}

net::awaitable<bool> handshake(net::stream& wire, tls::engine& engine,
                               std::size_t piece = std::string::npos) {
    for (;;) {
        auto done = engine.handshake();
        std::string flight = engine.take_output();
        if (!flight.empty())
            co_await write_cut(wire, std::move(flight), std::min<std::size_t>(piece, 100'000));
        if (done.has_error() || *done)
            co_return done.has_value();
        std::string more = co_await read_some(wire);
        if (more.empty())
            co_return false;
        engine.feed(more);
    }
}

// What is left to be read; the error that ends it is kept in `why`.
net::awaitable<std::string> read_to_the_end(net::stream& from, base::error& why) {
    std::string all;
    char buffer[1000];
    for (;;) {
        auto ready = co_await from.readable();
        if (ready.has_error()) {
            why = ready.error();
            break;
        }
        auto n = from.read_now(buffer);
        if (n.has_error()) {
            why = n.error();
            break;
        }
        all.append(buffer, *n);
    }
    co_return all;
}

std::string plain_text(tls::engine& from) {
    std::string all;
    char buffer[4096];
    for (auto n = from.read(buffer); n && *n > 0; n = from.read(buffer))
        all.append(buffer, *n);
    return all;
}

const std::string greeting = "220 ready, and a few words more so that there is something to cut\r\n";

net::awaitable<void> greets_in_pieces(tls_streams& test, net::stream wire) {
    auto engine = test.server_by_hand();
    bool done = co_await handshake(wire, *engine, 97);
    EXPECT_TRUE(done);
    EXPECT_TRUE(engine->write(greeting).has_value());
    std::string record = engine->take_output();
    co_await write_cut(wire, std::move(record), 1);
    co_await until_it_ends(wire);
}

net::awaitable<void> expect_greeting(tls_streams& test) {
    auto stream = co_await test.connect();
    auto session = co_await stream->start_tls(test.as_client());
    EXPECT_TRUE(session.has_value());
    if (!session)
        co_return;
    EXPECT_TRUE(session->protocol.starts_with("TLSv1."));
    EXPECT_FALSE(session->cipher.empty());
    EXPECT_TRUE(session->peer_certificate.starts_with("-----BEGIN CERTIFICATE-----"));
    std::string got = co_await net::read_all_of(*stream, greeting.size());
    EXPECT_EQ(got, greeting);
}

net::awaitable<void> says_goodbye(tls_streams& test, net::stream wire) {
    auto engine = test.server_by_hand();
    co_await handshake(wire, *engine);
    EXPECT_TRUE(engine->write(greeting).has_value());
    engine->close();
    std::string last = engine->take_output();
    auto written = co_await wire.write(last);
    EXPECT_TRUE(written.has_value());
    co_await until_it_ends(wire); // the connection itself stays
}

net::awaitable<void> leaves_inside_a_record(tls_streams& test, net::stream wire) {
    auto engine = test.server_by_hand();
    co_await handshake(wire, *engine);
    EXPECT_TRUE(engine->write(greeting).has_value());
    std::string whole = engine->take_output();
    EXPECT_TRUE(engine->write("250 not all of this\r\n").has_value());
    std::string part = engine->take_output();
    whole += part.substr(0, part.size() - 1);
    auto written = co_await wire.write(whole);
    EXPECT_TRUE(written.has_value());
}

net::awaitable<void> expect_greeting_and_end(tls_streams& test) {
    auto stream = co_await test.connect();
    auto session = co_await stream->start_tls(test.as_client());
    EXPECT_TRUE(session.has_value());
    base::error why;
    std::string got = co_await read_to_the_end(*stream, why);
    EXPECT_EQ(got, greeting);
    EXPECT_TRUE(net::stream::is_end(why)) << why.what;
}

net::awaitable<void> says_nothing(tls_streams& test, net::stream wire) {
    test.seen = co_await read_some(wire);
    if (test.other != nullptr)
        test.other->interrupt();
    co_await until_it_ends(wire);
}

net::awaitable<void> expect_timeout(tls_streams& test) {
    auto stream = co_await test.connect();
    stream->deadline(steady_clock::now() + milliseconds(50));
    auto session = co_await stream->start_tls(test.as_client());
    EXPECT_TRUE(session.has_error());
    EXPECT_TRUE(session.has_error() && net::stream::is_timeout(session.error()));
}

net::awaitable<void> expect_interrupted(tls_streams& test) {
    auto stream = co_await test.connect();
    test.other = &*stream;
    auto session = co_await stream->start_tls(test.as_client());
    test.other = nullptr;
    EXPECT_TRUE(session.has_error() && net::stream::is_interrupt(session.error()));
}

net::awaitable<void> serves_nobody(tls_streams& test, net::stream wire) {
    wire.deadline(steady_clock::now() + milliseconds(50));
    auto session = co_await wire.start_tls(test.as_server());
    EXPECT_TRUE(session.has_error() && net::stream::is_timeout(session.error()));
}

net::awaitable<void> expect_to_be_left(tls_streams& test) {
    auto stream = co_await test.connect();
    std::string got = co_await read_some(*stream);
    EXPECT_EQ(got, "");
}

net::awaitable<void> refuses_nonsense(tls_streams& test, net::stream wire) {
    wire.deadline(steady_clock::now() + seconds(60));
    auto session = co_await wire.start_tls(test.as_server());
    EXPECT_TRUE(session.has_error() && net::stream::is_tls_failure(session.error()));
}

net::awaitable<void> talk_nonsense(tls_streams& test) {
    auto stream = co_await test.connect();
    auto written = co_await stream->write("EHLO client.example.org\r\n" + std::string(1000, 'x'));
    EXPECT_TRUE(written.has_value());
    co_await until_it_ends(*stream);
}

net::awaitable<void> speaks_in_clear_after_all(tls_streams& test, net::stream wire) {
    auto engine = test.server_by_hand();
    co_await handshake(wire, *engine);
    auto written = co_await wire.write("220 ready\r\n250 injected\r\n");
    EXPECT_TRUE(written.has_value());
    co_await until_it_ends(wire);
    test.seen = "end";
}

net::awaitable<void> expect_failure(tls_streams& test) {
    auto stream = co_await test.connect();
    auto session = co_await stream->start_tls(test.as_client());
    EXPECT_TRUE(session.has_value());
    base::error why;
    std::string got = co_await read_to_the_end(*stream, why);
    EXPECT_EQ(got, "");
    EXPECT_TRUE(net::stream::is_tls_failure(why)) << why.what;
    auto written = co_await stream->write("QUIT\r\n");
    EXPECT_TRUE(written.has_error() && net::stream::is_tls_failure(written.error()));
    stream->close();
    while (test.seen.empty())
        co_await net::give_way();
}

net::awaitable<void> reads_late(tls_streams& test, net::stream wire) {
    auto engine = test.server_by_hand();
    co_await handshake(wire, *engine);
    while (!test.writing)
        co_await net::give_way();
    while (test.seen.size() < test.large) { // what has begun to write waits for us by now
        std::string more = co_await read_some(wire);
        if (more.empty())
            break;
        engine->feed(more);
        test.seen += plain_text(*engine);
    }
    co_await until_it_ends(wire);
}

net::awaitable<void> reads_never(tls_streams& test, net::stream wire) {
    auto engine = test.server_by_hand();
    co_await handshake(wire, *engine);
    while (test.seen.empty())
        co_await net::sleep_for(milliseconds(1));
}

net::awaitable<void> write_much(tls_streams& test) {
    auto stream = co_await test.connect();
    auto session = co_await stream->start_tls(test.as_client());
    EXPECT_TRUE(session.has_value());
    std::string text;
    while (text.size() < test.large)
        text += std::to_string(text.size()) + "\r\n";
    text.resize(test.large);
    test.writing = true;
    auto written = co_await stream->write(text);
    EXPECT_TRUE(written.has_value());
    while (test.seen.size() < text.size())
        co_await net::give_way();
    EXPECT_TRUE(test.seen == text);
}

net::awaitable<void> write_in_vain(tls_streams& test) {
    auto stream = co_await test.connect();
    auto session = co_await stream->start_tls(test.as_client());
    EXPECT_TRUE(session.has_value());
    std::string text(test.large, 'x');
    stream->deadline(steady_clock::now() + milliseconds(200));
    auto written = co_await stream->write(text);
    test.seen = "enough";
    EXPECT_TRUE(written.has_error() && net::stream::is_timeout(written.error()));
}

// One record, of which the stream reads a small part at a time.
constexpr std::size_t parts = 100, part_size = 100;

net::awaitable<void> sends_a_full_record(tls_streams& test, net::stream wire) {
    auto engine = test.server_by_hand();
    co_await handshake(wire, *engine);
    EXPECT_TRUE(engine->write(std::string(parts * part_size, 'x')).has_value());
    std::string record = engine->take_output();
    auto written = co_await wire.write(record);
    EXPECT_TRUE(written.has_value());
    co_await until_it_ends(wire);
}

std::size_t read_part(net::stream& from) {
    std::array<char, part_size> buffer;
    auto n = from.read_now(buffer);
    EXPECT_TRUE(n.has_value());
    return n.has_value() ? *n : part_size; // a loop ends all the same
}

net::awaitable<void> count_turns(std::size_t& turns, bool& over) {
    while (!over) {
        ++turns;
        co_await net::give_way();
    }
}

net::awaitable<void> expect_turns_of_others(tls_streams& test) {
    auto stream = co_await test.connect();
    auto session = co_await stream->start_tls(test.as_client());
    EXPECT_TRUE(session.has_value());
    std::size_t turns = 0;
    bool over = false;
    net::spawn(test.workers[0], count_turns(turns, over), test.log, "other");
    for (std::size_t got = 0; got < parts * part_size;) {
        const std::size_t before = turns;
        auto ready = co_await stream->readable();
        EXPECT_TRUE(ready.has_value());
        if (got > 0) { // the whole record is there
            EXPECT_GT(turns, before);
        }
        got += read_part(*stream);
    }
    over = true;
    const std::size_t last = turns;
    co_await net::give_way(); // the other ends
    EXPECT_EQ(turns, last);
}

net::awaitable<void> expect_deadlines_to_count(tls_streams& test) {
    auto stream = co_await test.connect();
    auto session = co_await stream->start_tls(test.as_client());
    EXPECT_TRUE(session.has_value());
    std::size_t n = 0;
    while (n == 0) { // tickets may come first
        auto ready = co_await stream->readable();
        EXPECT_TRUE(ready.has_value());
        n = read_part(*stream);
    }
    EXPECT_EQ(n, part_size);
    stream->deadline(steady_clock::now());
    auto late = co_await stream->readable();
    EXPECT_TRUE(late.has_error() && net::stream::is_timeout(late.error()));
    stream->deadline(steady_clock::now() + seconds(60)); // what is there has not been lost
    auto again = co_await stream->readable();
    EXPECT_TRUE(again.has_value());
    EXPECT_EQ(read_part(*stream), part_size);
}

net::awaitable<void> echoes(tls_streams& test, net::stream wire) {
    auto session = co_await wire.start_tls(test.as_server());
    EXPECT_TRUE(session.has_value());
    std::string got = co_await net::read_all_of(wire, greeting.size());
    auto written = co_await wire.write(got);
    EXPECT_TRUE(written.has_value());
    wire.shutdown_send();
    co_await until_it_ends(wire);
}

net::awaitable<void> talk_by_hand(tls_streams& test) {
    auto stream = co_await test.connect();
    auto engine = test.client_by_hand();
    bool done = co_await handshake(*stream, *engine, 97);
    EXPECT_TRUE(done);
    EXPECT_TRUE(engine->write(greeting).has_value());
    std::string record = engine->take_output();
    co_await write_cut(*stream, std::move(record), 1);
    std::string got;
    while (!engine->peer_closed()) { // a close notification, not just an end
        std::string more = co_await read_some(*stream);
        EXPECT_FALSE(more.empty());
        if (more.empty())
            break;
        engine->feed(more);
        got += plain_text(*engine);
    }
    EXPECT_EQ(got, greeting);
}

} // namespace

TEST_P(tls_streams, handshake_and_records_may_be_cut_anywhere) {
    peer = greets_in_pieces;
    run(expect_greeting(*this));
}

TEST_P(tls_streams, the_servers_side_likewise_and_its_end_is_announced) {
    peer = echoes;
    run(talk_by_hand(*this));
}

TEST_P(tls_streams, a_close_notification_is_the_end_although_the_connection_stays) {
    peer = says_goodbye;
    run(expect_greeting_and_end(*this));
}

TEST_P(tls_streams, a_connection_that_ends_inside_a_record_gives_the_whole_records_only) {
    peer = leaves_inside_a_record;
    run(expect_greeting_and_end(*this));
}

TEST_P(tls_streams, a_handshake_has_a_deadline) {
    peer = says_nothing;
    run(expect_timeout(*this));
}

TEST_P(tls_streams, a_handshake_as_server_has_a_deadline) {
    peer = serves_nobody;
    run(expect_to_be_left(*this));
}

TEST_P(tls_streams, a_handshake_can_be_interrupted) {
    peer = says_nothing;
    run(expect_interrupted(*this));
}

TEST_P(tls_streams, nonsense_in_place_of_a_handshake) {
    peer = refuses_nonsense;
    run(talk_nonsense(*this));
}

TEST_P(tls_streams, what_comes_in_clear_after_the_handshake_is_refused) {
    peer = speaks_in_clear_after_all;
    run(expect_failure(*this));
}

TEST_P(tls_streams, others_have_their_turn_while_what_was_decrypted_is_read) {
    peer = sends_a_full_record;
    run(expect_turns_of_others(*this));
}

TEST_P(tls_streams, deadlines_count_while_what_was_decrypted_is_read) {
    peer = sends_a_full_record;
    run(expect_deadlines_to_count(*this));
}

TEST_P(tls_streams, a_peer_that_reads_late_gets_it_all) {
    peer = reads_late;
    run(write_much(*this));
}

TEST_P(tls_streams, a_peer_that_does_not_read_is_not_waited_for_beyond_the_deadline) {
    peer = reads_never;
    run(write_in_vain(*this));
}
