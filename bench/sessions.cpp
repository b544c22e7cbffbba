// Opens SMTP sessions and keeps or ends them: memory per idle session, and STARTTLS handshakes a second.
//
//   bench_sessions hold PORT COUNT [tls]
//       opens COUNT sessions, each up to the answer to EHLO, prints "ready", keeps them until its input ends
//   bench_sessions handshakes PORT CLIENTS SECONDS full|resumed starttls|implicit
//       each client opens one session after the other; prints how many there were in all, how many of them
//       resumed an earlier one, and the version of TLS, as JSON. starttls is SMTP from greeting to QUIT;
//       implicit is the handshake alone, for any server
//
// Sources are 127.0.0.2 and up, 500 sessions each, since ports are finite and servers limit sessions per
// address.
#include "tls/openssl_owners.hpp"

#include <boost/asio/buffer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/write.hpp>
#include <fmt/format.h>
#include <openssl/ssl.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace {

namespace asio = boost::asio;
using tcp = asio::ip::tcp;
using clock = std::chrono::steady_clock;

using tls_session = std::unique_ptr<SSL_SESSION, tls::freeing<SSL_SESSION_free>>;

// The latest session that the server gave to this client, to be resumed.
int keep_session(SSL* connection, SSL_SESSION* session) {
    static_cast<tls_session*>(SSL_get_app_data(connection))->reset(session);
    return 1; // kept: the reference is ours
}

tls::context_ptr make_context() {
    tls::context_ptr context(SSL_CTX_new(TLS_client_method()));
    SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION);
    SSL_CTX_set_session_cache_mode(context.get(), SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(context.get(), keep_session);
    return context;
}

class session {
public:
    session(asio::io_context& context, std::uint16_t port, unsigned source) : peer_(context) {
        peer_.open(tcp::v4());
        peer_.bind(tcp::endpoint(asio::ip::address_v4(0x7f000002u + source), 0));
        peer_.connect(tcp::endpoint(asio::ip::address_v4::loopback(), port));
        peer_.set_option(tcp::no_delay(true));
    }

    void greet() {
        expect("220");
        ask("EHLO client.example.org\r\n", "250");
    }

    void start_tls(SSL_CTX* context, tls_session* resumed) {
        ask("STARTTLS\r\n", "220");
        handshake(context, resumed);
        ask("EHLO client.example.org\r\n", "250");
    }

    void handshake(SSL_CTX* context, tls_session* resumed) {
        tls_.reset(SSL_new(context));
        SSL_set_app_data(tls_.get(), resumed);
        SSL_set_fd(tls_.get(), peer_.native_handle());
        if (*resumed)
            SSL_set_session(tls_.get(), resumed->get());
        if (SSL_connect(tls_.get()) != 1)
            throw std::runtime_error("the handshake failed");
    }

    std::string tls_version() const { return SSL_get_version(tls_.get()); }
    bool was_resumed() const { return SSL_session_reused(tls_.get()) == 1; }
    void quit() {
        ask("QUIT\r\n", "221");
        if (tls_)
            end();
    }

    // Waits for one line of whatever the server says; with it come its tickets.
    void read_something() { fill(); }

    // Says that it is over: without that the library would not resume the session.
    void end() { SSL_shutdown(tls_.get()); }

    void say(std::string_view text) {
        if (!tls_)
            asio::write(peer_, asio::buffer(text));
        else if (SSL_write(tls_.get(), text.data(), static_cast<int>(text.size())) <= 0)
            throw std::runtime_error("writing through TLS failed");
    }

private:
    void ask(std::string_view line, std::string_view code) {
        say(line);
        expect(code);
    }

    void fill() {
        std::array<char, 4096> part{};
        if (!tls_) {
            input_.append(part.data(), peer_.read_some(asio::buffer(part)));
            return;
        }
        const int got = SSL_read(tls_.get(), part.data(), static_cast<int>(part.size()));
        if (got <= 0)
            throw std::runtime_error("reading through TLS failed");
        input_.append(part.data(), static_cast<std::size_t>(got));
    }

    void expect(std::string_view code) {
        std::string line;
        do {
            std::size_t end = input_.find('\n');
            while (end == std::string::npos) {
                fill();
                end = input_.find('\n');
            }
            line = input_.substr(0, end + 1);
            input_.erase(0, end + 1);
        } while (line.size() > 3 && line[3] == '-');
        if (!line.starts_with(code))
            throw std::runtime_error("wanted " + std::string(code) + ", got " + line);
    }

    tcp::socket peer_;
    tls::session_ptr tls_;
    std::string input_;
};

void hold(std::uint16_t port, unsigned count, bool with_tls) {
    asio::io_context context;
    const tls::context_ptr tls = make_context();
    tls_session none;
    std::vector<std::unique_ptr<session>> open;
    for (unsigned i = 0; i < count; ++i) {
        open.push_back(std::make_unique<session>(context, port, i / 500));
        open.back()->greet();
        if (with_tls)
            open.back()->start_tls(tls.get(), &none);
        none.reset();
    }
    fmt::print("ready\n");
    std::fflush(stdout);
    while (std::getchar() != EOF) {
    }
}

struct handshake_count {
    std::uint64_t all = 0;
    std::uint64_t resumed = 0;
    std::string version{};
};

handshake_count one_client(std::uint16_t port, clock::time_point end, bool resume, bool starttls) {
    asio::io_context context;
    const tls::context_ptr tls = make_context();
    tls_session latest;
    handshake_count count;
    while (clock::now() < end) {
        session s(context, port, 0);
        if (!resume)
            latest.reset();
        if (starttls) {
            s.greet();
            s.start_tls(tls.get(), &latest);
            s.quit();
        } else {
            s.handshake(tls.get(), &latest);
            if (resume) {
                s.say("GET / HTTP/1.0\r\n\r\n"); // openssl s_server -www
                s.read_something();
            }
            s.end();
        }
        ++count.all;
        count.version = s.tls_version();
        if (s.was_resumed())
            ++count.resumed;
    }
    return count;
}

void handshakes(std::uint16_t port, unsigned clients, double seconds, bool resume, bool starttls) {
    const auto start = clock::now();
    const auto end =
        start + std::chrono::duration_cast<clock::duration>(std::chrono::duration<double>(seconds));
    std::vector<handshake_count> counts(clients);
    std::vector<std::exception_ptr> failures(clients);
    std::vector<std::thread> threads;
    for (unsigned i = 0; i < clients; ++i) {
        threads.emplace_back([&, i] {
            try {
                counts[i] = one_client(port, end, resume, starttls);
            } catch (const std::exception&) {
                failures[i] = std::current_exception();
            }
        });
    }
    handshake_count sum;
    for (unsigned i = 0; i < clients; ++i) {
        threads[i].join();
        if (failures[i])
            std::rethrow_exception(failures[i]);
        sum.all += counts[i].all;
        sum.resumed += counts[i].resumed;
        sum.version = counts[i].version;
    }
    fmt::print("{{\"seconds\": {}, \"sessions\": {}, \"resumed\": {}, \"version\": \"{}\"}}\n",
               std::chrono::duration<double>(clock::now() - start).count(), sum.all, sum.resumed,
               sum.version);
}

} // namespace

int main(int argc, char** argv) {
    const std::vector<std::string> words(argv + 1, argv + argc);
    const auto number = [&words](std::size_t i) {
        return static_cast<unsigned>(std::strtoul(words[i].c_str(), nullptr, 10));
    };
    try {
        if (words.size() >= 3 && words[0] == "hold") {
            hold(static_cast<std::uint16_t>(number(1)), number(2), words.size() > 3);
            return 0;
        }
        if (words.size() == 6 && words[0] == "handshakes") {
            handshakes(static_cast<std::uint16_t>(number(1)), number(2), std::atof(words[3].c_str()),
                       words[4] == "resumed", words[5] == "starttls");
            return 0;
        }
    } catch (const std::exception& e) {
        fmt::print(stderr, "bench_sessions: {}\n", e.what());
        return 1;
    }
    fmt::print(stderr,
               "usage: bench_sessions hold PORT COUNT [tls]\n"
               "       bench_sessions handshakes PORT CLIENTS SECONDS full|resumed starttls|implicit\n");
    return 2;
}
