#include "net/connector.hpp"

#include "net/asio_stream.hpp"
#include "net/socks.hpp"
#include "net/worker.hpp"

#include "base/text.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <fmt/format.h>
#include <sys/un.h>

namespace net {

namespace asio = boost::asio;
using asio::generic::stream_protocol;

base::result<local_interface> parse_local_interface(const std::string& text) {
    auto as_literal = [](std::string_view address, std::uint16_t port) -> std::optional<local_interface> {
        if (address.size() > 2 && address.front() == '[' && address.back() == ']')
            address = address.substr(1, address.size() - 2);
        boost::system::error_code bad;
        auto ip = asio::ip::make_address(std::string(address), bad);
        if (bad)
            return std::nullopt;
        return local_interface{ip.to_string(), port, ip.is_v6()};
    };
    if (auto plain = as_literal(text, 0))
        return *plain;
    std::size_t at = text.find_last_of(":.");
    if (at != std::string::npos) {
        auto port = base::to_number(std::string_view(text).substr(at + 1));
        if (port && *port <= 65535)
            if (auto with_port =
                    as_literal(std::string_view(text).substr(0, at), static_cast<std::uint16_t>(*port)))
                return *with_port;
    }
    return base::error{{}, "address error: invalid network address: " + text};
}

struct connector::impl {
    impl(worker& on, std::optional<local_interface> local)
        : home(on), from(std::move(local)), limit(on.context()) {}

    worker& home;
    std::optional<local_interface> from;
    asio::steady_timer limit;
    std::shared_ptr<generic_socket> attempt; // the connect that is going on
    stream* asking = nullptr;                // the SOCKS exchange that is going on
    bool interrupted = false;

    void cancel_attempt() {
        boost::system::error_code ignored;
        if (attempt)
            attempt->cancel(ignored);
        if (asking)
            asking->interrupt();
    }

    awaitable<base::result<void>> ask_socks_server(stream& server, const target& to, time_point deadline) {
        struct going_on { // ended also when the coroutine is destroyed
            going_on(impl& i, stream& s) : self(i) { self.asking = &s; }
            ~going_on() { self.asking = nullptr; }
            impl& self;
        };
        auto port = base::to_number(to.far_service);
        if (!port || *port > 65535)
            co_return base::error{{}, "socks error: invalid port: " + to.far_service};
        going_on present(*this, server);
        server.deadline(deadline);
        auto passed = co_await pass_socks(server, to.far_host, static_cast<std::uint16_t>(*port));
        server.deadline(time_point::max());
        co_return passed;
    }
};

connector::connector(worker& on, std::optional<local_interface> from)
    : impl_(std::make_shared<impl>(on, std::move(from))) {}
connector::~connector() = default;

void connector::interrupt() {
    impl_->interrupted = true;
    impl_->cancel_attempt();
}

namespace {

base::error cannot_connect(const std::string& address, const std::string& why = {}) {
    return {{}, "connect failure: cannot connect to " + address + (why.empty() ? "" : ": " + why)};
}

base::error timed_out(const std::string& address, std::chrono::seconds limit) {
    return cannot_connect(address, fmt::format("timed out out after {}s", limit.count()));
}

boost::system::error_code bind_to(generic_socket& socket, const local_interface& from) {
    boost::system::error_code code;
    if (from.port != 0)
        socket.set_option(asio::socket_base::reuse_address(true), code);
    asio::ip::tcp::endpoint where(asio::ip::make_address(from.address), from.port);
    socket.bind(where, code);
    return code;
}

} // namespace

awaitable<base::result<stream>> connector::connect(target to, std::chrono::seconds limit) {
    auto self = impl_;
    activity::part counted = self->home.activity().outgoing();
    auto deadline = deadline_after(limit);

    struct candidate {
        stream_protocol::endpoint where;
        std::string shown;
    };
    std::vector<candidate> candidates;
    if (!to.path.empty()) {
        if (to.path.size() >= sizeof(sockaddr_un::sun_path))
            co_return cannot_connect(to.path, "the socket path is too long");
        candidates.push_back({asio::local::stream_protocol::endpoint(to.path), to.path});
    } else {
        if (on_resolving && !is_ip_literal(to.host))
            on_resolving(to);
        auto family = !self->from        ? address_family::any
                      : self->from->ipv6 ? address_family::ipv6
                                         : address_family::ipv4;
        auto found = co_await self->home.names().look_up(to.host, to.service, family, deadline);
        if (found.has_error() && stream::is_timeout(found.error()))
            co_return timed_out(to.host + ":" + to.service, limit);
        if (found.has_error())
            co_return found.error();
        for (const resolved& r : *found) {
            auto address = asio::ip::make_address(r.address);
            candidates.push_back({asio::ip::tcp::endpoint(address, r.port),
                                  endpoint{r.address, r.port, false, r.ipv6}.display()});
        }
    }

    base::error last = cannot_connect(to.host + ":" + to.service);
    for (const candidate& next : candidates) {
        if (self->interrupted)
            break;
        if (on_connecting)
            on_connecting(next.shown);
        auto socket = std::make_shared<generic_socket>(self->home.context());
        boost::system::error_code code;
        socket->open(next.where.protocol(), code);
        if (code) { // a machine without IPv6, say
            last = cannot_connect(next.shown, base::to_lower(code.message()));
            continue;
        }
        if (self->from && to.path.empty()) {
            code = bind_to(*socket, *self->from);
            if (code)
                co_return base::error{code, "socket bind error"};
        }
        self->attempt = socket;
        if (deadline != time_point::max()) {
            self->limit.expires_at(deadline);
            self->limit.async_wait([socket](const boost::system::error_code& cancelled) {
                if (cancelled)
                    return;
                boost::system::error_code ignored;
                socket->cancel(ignored);
            });
        }
        auto [failed] = co_await socket->async_connect(next.where, asio::as_tuple(asio::use_awaitable));
        self->limit.cancel();
        self->attempt.reset();
        if (!failed) {
            stream opened = make_stream(std::move(*socket), std::move(counted));
            if (to.far_host.empty())
                co_return opened;
            auto passed = co_await self->ask_socks_server(opened, to, deadline);
            if (!passed.has_error())
                co_return opened;
            if (self->interrupted)
                break;
            if (stream::is_timeout(passed.error()))
                co_return timed_out(next.shown, limit);
            co_return passed.error();
        }
        if (self->interrupted)
            break;
        if (deadline != time_point::max() && std::chrono::steady_clock::now() >= deadline)
            co_return timed_out(next.shown, limit);
        // A refusal is plain from the text itself; other reasons are worth a word.
        bool plain = failed == asio::error::connection_refused && to.path.empty();
        last = cannot_connect(next.shown, plain ? "" : base::to_lower(failed.message()));
    }
    if (self->interrupted)
        last = base::make_error(ECANCELED, "connect failure: interrupted");
    co_return last;
}

} // namespace net
