// A client that writes in large blocks and can keep a rate: what smtp-source, which writes line by line, does
// not measure.
//
//   bench_source PORT MESSAGES SESSIONS OCTETS [RATE]
//
// Without RATE each session sends its share over one connection, as fast as it goes; the content goes out in
// blocks of 64 KiB. With RATE messages a second in all, each has a connection of its own, begun when its time
// comes. Every message carries the moment at which its turn (with RATE: its connection) began, for
// bench_sink. Prints seconds and, sorted, the milliseconds from that moment to each 250, as JSON. Ends with
// status 1 at the first reply that is not wanted.
#include <boost/asio/buffer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/write.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace {

namespace asio = boost::asio;
using tcp = asio::ip::tcp;
using clock = std::chrono::steady_clock;

constexpr std::size_t block = 65'536;

class session {
public:
    explicit session(std::uint16_t port) : peer_(context_) {
        peer_.connect(tcp::endpoint(asio::ip::address_v4::loopback(), port));
        peer_.set_option(tcp::no_delay(true));
        expect("220");
        ask("EHLO client.example.org\r\n", "250");
    }

    void send(const std::string& content, clock::time_point began) {
        ask("MAIL FROM:<me@example.com>\r\n", "250");
        ask("RCPT TO:<you@example.net>\r\n", "250");
        ask("DATA\r\n", "354");
        const std::string stamp = fmt::format("X-Sent: {}\r\n", began.time_since_epoch().count());
        asio::write(peer_, asio::buffer(stamp));
        for (std::size_t at = 0; at < content.size(); at += block)
            asio::write(peer_, asio::buffer(content.data() + at, std::min(block, content.size() - at)));
        expect("250");
    }

    void quit() { ask("QUIT\r\n", "221"); }

private:
    void ask(std::string_view line, std::string_view code) {
        asio::write(peer_, asio::buffer(line));
        expect(code);
    }

    void expect(std::string_view code) {
        std::string line;
        do {
            const std::size_t length = asio::read_until(peer_, asio::dynamic_buffer(input_), '\n');
            line = input_.substr(0, length);
            input_.erase(0, length);
        } while (line.size() > 3 && line[3] == '-');
        if (!line.starts_with(code))
            throw std::runtime_error("wanted " + std::string(code) + ", got " + line);
    }

    asio::io_context context_;
    tcp::socket peer_;
    std::string input_;
};

std::string some_content(std::size_t octets) {
    std::string content = "Subject: some octets\r\n\r\n";
    std::string line(76, 'x');
    line += "\r\n";
    while (content.size() < octets)
        content += line;
    return content + ".\r\n";
}

struct task {
    std::uint16_t port;
    std::size_t messages;
    std::size_t sessions;
    double rate; // messages a second in all; 0: none
    std::string content;
};

// The messages of one of the sessions; the milliseconds that each took.
std::vector<double> send_share(const task& t, std::size_t number, clock::time_point start) {
    std::vector<double> took;
    std::optional<session> open;
    for (std::size_t n = number; n < t.messages; n += t.sessions) {
        if (t.rate > 0)
            std::this_thread::sleep_until(
                start + std::chrono::duration_cast<clock::duration>(
                            std::chrono::duration<double>(static_cast<double>(n) / t.rate)));
        const auto began = clock::now();
        if (!open)
            open.emplace(t.port);
        open->send(t.content, began);
        took.push_back(std::chrono::duration<double, std::milli>(clock::now() - began).count());
        if (t.rate > 0) {
            open->quit();
            open.reset();
        }
    }
    if (open)
        open->quit();
    return took;
}

std::vector<double> send_all(const task& t) {
    std::vector<std::vector<double>> shares(t.sessions);
    std::vector<std::exception_ptr> failures(t.sessions);
    std::vector<std::thread> threads;
    const auto start = clock::now();
    for (std::size_t i = 0; i < t.sessions; ++i) {
        threads.emplace_back([&, i] {
            try {
                shares[i] = send_share(t, i, start);
            } catch (const std::exception&) {
                failures[i] = std::current_exception();
            }
        });
    }
    std::vector<double> all;
    for (std::size_t i = 0; i < t.sessions; ++i) {
        threads[i].join();
        if (failures[i])
            std::rethrow_exception(failures[i]);
        all.insert(all.end(), shares[i].begin(), shares[i].end());
    }
    std::ranges::sort(all);
    return all;
}

} // namespace

int main(int argc, char** argv) {
    if (argc < 5) {
        fmt::print(stderr, "usage: bench_source PORT MESSAGES SESSIONS OCTETS [RATE]\n");
        return 2;
    }
    const task t{static_cast<std::uint16_t>(std::atoi(argv[1])), std::strtoul(argv[2], nullptr, 10),
                 std::strtoul(argv[3], nullptr, 10), argc > 5 ? std::atof(argv[5]) : 0,
                 some_content(std::strtoul(argv[4], nullptr, 10))};
    try {
        const auto start = clock::now();
        const std::vector<double> took = send_all(t);
        const double seconds = std::chrono::duration<double>(clock::now() - start).count();
        fmt::print("{{\"seconds\": {}, \"milliseconds\": [{:.3f}]}}\n", seconds, fmt::join(took, ", "));
    } catch (const std::exception& e) {
        fmt::print(stderr, "bench_source: {}\n", e.what());
        return 1;
    }
}
