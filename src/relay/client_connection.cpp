#include "relay/client_connection.hpp"

#include "base/secret_text.hpp"
#include "relay/tls_log.hpp"

#include <algorithm>
#include <utility>

namespace relay {

using std::chrono::seconds;

namespace {

constexpr seconds patience_at_the_end{10};

} // namespace

client_connection::client_connection(net::worker& on, net::stream peer, limits l, const base::logger& server)
    : worker_(on), peer_(std::move(peer)), limits_(l),
      log_(server.with_peer(peer_.peer().address, std::to_string(peer_.peer().port))) {}

net::awaitable<client_connection::received> client_connection::read(command_progress now,
                                                                    net::time_point limit) {
    using kind = received::kind;
    if (std::exchange(progress_, now) != now)
        command_started_ = std::chrono::steady_clock::now();
    const net::time_point idle = net::deadline_after(limits_.idle);
    const net::time_point unfinished = now.begun && limits_.command.count() > 0
                                           ? command_started_ + limits_.command
                                           : net::time_point::max();
    peer_.deadline(std::min({idle, unfinished, limit}));
    for (;;) {
        auto ready = co_await peer_.readable();
        if (ready.has_error()) {
            if (net::stream::is_interrupt(ready.error()))
                co_return received{.what = kind::interrupted};
            if (!net::stream::is_timeout(ready.error()))
                co_return received{.what = kind::over, .reason = lost(ready.error())};
            if (limit < std::min(idle, unfinished))
                co_return received{.what = kind::late};
            std::string reason = idle_timeout_text();
            if (unfinished < idle)
                reason = "command timeout: command not finished after " +
                         std::to_string(limits_.command.count()) + "s";
            co_return received{.what = kind::over, .reason = std::move(reason)};
        }
        buffer_ = worker_.buffers().take();
        auto n = peer_.read_now(buffer_.bytes());
        if (n.has_error())
            co_return received{.what = kind::over, .reason = lost(n.error())};
        if (*n == 0) {
            buffer_.give_back();
            continue; // not for us after all
        }
        octets_read_ = *n;
        co_return received{.octets = buffer_.bytes().first(*n)};
    }
}

void client_connection::give_buffer_back(bool had_secret) {
    const std::size_t octets = std::exchange(octets_read_, 0);
    if (octets != 0 && had_secret)
        base::wipe(buffer_.bytes().data(), octets);
    buffer_.give_back();
}

net::awaitable<std::string> client_connection::write(std::string_view replies) {
    peer_.deadline(net::deadline_after(limits_.idle));
    auto written = co_await peer_.write(replies);
    co_return written.has_error() ? lost(written.error()) : std::string();
}

net::awaitable<std::optional<base::tls_session>> client_connection::start_tls(net::tls_service with,
                                                                              std::string& reason) {
    peer_.deadline(net::deadline_after(limits_.idle));
    auto established = co_await peer_.start_tls(with);
    if (established.has_value()) {
        log_tls_established(log_, peer_.peer().display(), *established);
        co_return std::move(*established);
    }
    const base::error& why = established.error();
    if (net::stream::is_interrupt(why)) {
        reason = "shutdown";
    } else if (net::stream::is_timeout(why)) {
        reason = idle_timeout_text();
    } else {
        log_tls_error(log_, why);
        reason = "peer disconnected: ssl accept";
    }
    co_return std::nullopt;
}

net::awaitable<void> client_connection::say_goodbye(std::string_view replies) {
    peer_.deadline(net::deadline_after(patience_at_the_end));
    auto written = co_await peer_.write(replies);
    if (!written.has_error())
        peer_.shutdown_send();
}

std::string client_connection::idle_timeout_text() const {
    return "idle timeout: no activity after " + std::to_string(limits_.idle.count()) + "s";
}

std::string client_connection::lost(const base::error& why) const {
    if (net::stream::is_timeout(why))
        return "idle timeout: replies not read";
    if (!net::stream::is_tls_failure(why))
        return "peer disconnected";
    log_tls_error(log_, why);
    return "peer disconnected: ssl read";
}

} // namespace relay
