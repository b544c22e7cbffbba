// A next hop that stores nothing, answers late if asked to, and counts.
//
//   bench_sink PORT COUNTERS [DELAY-MS]
//
// Takes all mail at 127.0.0.1. With a delay the replies to what one read has brought go out together that
// much later, as over a long line: a pipelined group costs it once. COUNTERS is a file, mapped and always up
// to date (bench/suite/servers.py reads it): messages, connections, groups of replies, octets of content, the
// moments of the first and the last message, then for each message that carries "X-Sent: <nanoseconds of the
// monotonic clock>" the microseconds until its final dot was here. Ends by a signal.
#include <boost/asio/awaitable.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/interprocess/file_mapping.hpp>
#include <boost/interprocess/mapped_region.hpp>
#include <fmt/format.h>

#include <array>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <string_view>

namespace {

namespace asio = boost::asio;
using tcp = asio::ip::tcp;
using clock = std::chrono::steady_clock;

constexpr std::size_t most_latencies = 65'536;

struct counters {
    std::uint64_t messages, connections, reply_groups, octets, first, last, latency_count;
    std::array<std::uint64_t, most_latencies> latency;
};

std::uint64_t nanoseconds() {
    return static_cast<std::uint64_t>(clock::now().time_since_epoch().count());
}

// What a session says, in lines and contents that may come in any pieces.
class dialogue {
public:
    explicit dialogue(counters& count) : count_(&count) {}

    // The replies to `input`; empty while nothing of it is complete.
    std::string take(std::string_view input) {
        std::string replies;
        while (!input.empty() && !over_) {
            if (in_content_)
                input = take_content(input, replies);
            else
                input = take_line(input, replies);
        }
        return replies;
    }
    bool over() const { return over_; }

private:
    std::string_view take_line(std::string_view input, std::string& replies) {
        const std::size_t end = input.find('\n');
        line_ += input.substr(0, end);
        if (end == std::string_view::npos)
            return {};
        answer(replies);
        line_.clear();
        return input.substr(end + 1);
    }

    void answer(std::string& replies) {
        const std::string_view verb = std::string_view(line_).substr(0, 4);
        if (verb == "EHLO") {
            replies += "250-sink\r\n250-PIPELINING\r\n250 8BITMIME\r\n";
        } else if (verb == "DATA") {
            replies += "354 go on\r\n";
            in_content_ = true;
            matched_ = 2; // the line before it has ended
            head_.clear();
        } else if (verb == "QUIT") {
            replies += "221 bye\r\n";
            over_ = true;
        } else {
            replies += "250 ok\r\n";
        }
    }

    std::string_view take_content(std::string_view input, std::string& replies) {
        const std::size_t used = through_final_dot(input);
        count_->octets += used;
        if (head_.size() < 2048)
            head_ += input.substr(0, std::min<std::size_t>(used, 2048 - head_.size()));
        if (matched_ == end_mark.size()) {
            in_content_ = false;
            arrived();
            replies += "250 taken\r\n";
        }
        return input.substr(used);
    }

    // Octets up to and including the final dot's line end, or all; matched_ says how much of the mark has
    // been seen.
    std::size_t through_final_dot(std::string_view input) {
        std::size_t at = 0;
        while (at < input.size() && matched_ < end_mark.size()) {
            if (matched_ == 0) {
                at = input.find('\r', at);
                if (at == std::string_view::npos)
                    return input.size();
            }
            const char c = input[at++];
            if (c == end_mark[matched_])
                ++matched_;
            else
                matched_ = c == '\r' ? 1 : 0;
        }
        return at;
    }

    void arrived() {
        const std::uint64_t now = nanoseconds();
        if (count_->messages++ == 0)
            count_->first = now;
        count_->last = now;
        constexpr std::string_view name = "X-Sent: ";
        const std::size_t at = head_.find(name);
        std::uint64_t sent = 0;
        if (at == std::string::npos || count_->latency_count == most_latencies)
            return;
        std::from_chars(head_.data() + at + name.size(), head_.data() + head_.size(), sent);
        count_->latency[count_->latency_count++] = (now - sent) / 1000;
    }

    static constexpr std::string_view end_mark = "\r\n.\r\n";
    counters* count_;
    std::string line_;
    std::string head_;
    std::size_t matched_ = 0;
    bool in_content_ = false;
    bool over_ = false;
};

// One connection: what is read is answered `delay` later, while reading goes on.
class session : public std::enable_shared_from_this<session> {
public:
    session(tcp::socket peer, counters& count, clock::duration delay)
        : peer_(std::move(peer)), count_(&count), dialogue_(count), delay_(delay) {}

    asio::awaitable<void> run() {
        const auto self = shared_from_this();
        ++count_->connections;
        peer_.set_option(tcp::no_delay(true));
        reply("220 sink ESMTP\r\n");
        while (!dialogue_.over()) {
            const std::size_t got =
                co_await peer_.async_read_some(asio::buffer(buffer_), asio::use_awaitable);
            std::string text = dialogue_.take(std::string_view(buffer_.data(), got));
            if (!text.empty())
                reply(std::move(text));
        }
    }

private:
    void reply(std::string text) {
        ++count_->reply_groups;
        if (delay_ == clock::duration::zero()) {
            write(text);
            return;
        }
        const auto timer = std::make_shared<asio::steady_timer>(peer_.get_executor(), delay_);
        timer->async_wait([self = shared_from_this(), timer,
                           text = std::move(text)](const boost::system::error_code&) { self->write(text); });
    }

    // A few octets to a peer that waits for them: never blocks. The peer may have gone: the reader sees it
    // too.
    void write(const std::string& text) {
        boost::system::error_code gone;
        asio::write(peer_, asio::buffer(text), gone);
    }

    tcp::socket peer_;
    counters* count_;
    dialogue dialogue_;
    clock::duration delay_;
    std::array<char, 65'536> buffer_{};
};

asio::awaitable<void> accept(tcp::acceptor& acceptor, counters& count, clock::duration delay) {
    for (;;) {
        tcp::socket peer = co_await acceptor.async_accept(asio::use_awaitable);
        auto one = std::make_shared<session>(std::move(peer), count, delay);
        asio::co_spawn(acceptor.get_executor(), one->run(),
                       asio::detached); // ends with its peer, by an exception
    }
}

counters& map_counters(const std::string& path) {
    namespace ipc = boost::interprocess;
    std::ofstream(path).close();
    std::filesystem::resize_file(path, sizeof(counters));
    static ipc::mapped_region region(ipc::file_mapping(path.c_str(), ipc::read_write), ipc::read_write);
    return *static_cast<counters*>(region.get_address());
}

} // namespace

int main(int argc, char** argv) {
    if (argc < 3) {
        fmt::print(stderr, "usage: bench_sink PORT COUNTERS [DELAY-MS]\n");
        return 2;
    }
    const auto port = static_cast<std::uint16_t>(std::atoi(argv[1]));
    const std::chrono::milliseconds delay(argc > 3 ? std::atoi(argv[3]) : 0);
    counters& count = map_counters(argv[2]);
    asio::io_context context(1);
    tcp::acceptor acceptor(context, tcp::endpoint(asio::ip::address_v4::loopback(), port));
    acceptor.listen(4096);
    asio::co_spawn(context, accept(acceptor, count, delay), asio::detached);
    context.run();
}
