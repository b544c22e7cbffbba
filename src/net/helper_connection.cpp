#include "net/helper_connection.hpp"

#include "net/worker.hpp"

#include <fmt/format.h>

namespace net {

namespace {

constexpr std::size_t longest_line = 64 * 1024;
constexpr int most_unasked = 16; // reads of what came unasked; who has sent more is not in step

} // namespace

helper_connection::helper_connection(worker& on, target server, std::chrono::seconds limit)
    : worker_(on), server_(std::move(server)), limit_(limit), connector_(on, std::nullopt) {}

void helper_connection::begin() {
    timed_out_ = false;
    more_time();
    if (!peer_)
        return;
    auto buffer = worker_.buffers().take();
    for (int i = 0; i < most_unasked; ++i) {
        auto n = peer_->read_now(buffer.bytes());
        if (n.has_error())
            return close();
        if (*n == 0)
            return;
    }
    close();
}

void helper_connection::more_time() {
    deadline_ = deadline_after(limit_);
    if (peer_)
        peer_->deadline(deadline_);
}

base::error helper_connection::why(const base::error& failed) {
    timed_out_ = stream::is_timeout(failed);
    std::string text = interrupted_ ? "interrupted" : "peer disconnected";
    if (timed_out_)
        text = fmt::format("response timeout: no response after {}s while connected to {}", limit_.count(),
                           peer_->peer().display());
    close();
    return {{}, std::move(text)}; // the text says it all, for replies and logs
}

awaitable<base::result<void>> helper_connection::open() {
    if (peer_)
        co_return base::result<void>();
    if (interrupted_)
        co_return base::make_error(ECANCELED, "interrupted");
    auto connected = co_await connector_.connect(server_, limit_);
    if (connected.has_error())
        co_return connected.error();
    peer_.emplace(std::move(*connected));
    peer_->deadline(deadline_);
    co_return base::result<void>();
}

awaitable<base::result<void>> helper_connection::write(std::string_view bytes) {
    auto written = co_await peer_->write(bytes);
    if (written.has_error())
        co_return why(written.error());
    co_return base::result<void>();
}

awaitable<base::result<std::string>> helper_connection::read() {
    for (;;) {
        auto ready = co_await peer_->readable();
        if (ready.has_error())
            co_return why(ready.error());
        auto buffer = worker_.buffers().take();
        auto n = peer_->read_now(buffer.bytes());
        if (n.has_error())
            co_return why(n.error());
        if (*n != 0)
            co_return std::string(buffer.bytes().data(), *n);
    }
}

awaitable<base::result<std::string>> helper_connection::read_line() {
    std::string line;
    while (line.size() <= longest_line) {
        auto more = co_await read();
        if (more.has_error())
            co_return more.error();
        std::size_t end = more->find('\n');
        line.append(*more, 0, end);
        if (end == more->npos)
            continue;
        if (line.ends_with('\r'))
            line.pop_back();
        co_return line;
    }
    close();
    co_return base::error{{}, "response too long"};
}

void helper_connection::interrupt() {
    interrupted_ = true;
    connector_.interrupt();
    if (peer_)
        peer_->interrupt();
}

std::string helper_name(const target& server) {
    return server.path.empty() ? fmt::format("{}/{}/ip", server.host, server.service) : server.path;
}

} // namespace net
