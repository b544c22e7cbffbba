// A query's end arrives as a callback on this thread. Everything here runs on the worker's thread.
//
// c-ares gets host names only: it would ask the DNS about addresses too (1.18 does), and read the whole
// services database for a port in digits.
#include "net/resolver.hpp"

#include "net/ares_events.hpp"
#include "net/worker.hpp"

#include "base/text.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <ares.h>
#include <fmt/format.h>
#include <netdb.h>
#include <netinet/in.h>

#include <array>
#include <cstring>
#include <optional>

namespace net {

namespace asio = boost::asio;

namespace {

// What a query's callback leaves for the coroutine that waits. Shared, as either may be gone first.
struct answer {
    explicit answer(asio::any_io_executor executor) : done(std::move(executor)) {}
    asio::steady_timer done; // cancelled when the answer is there; its expiry is the deadline
    bool arrived = false;
    int status = ARES_ETIMEOUT;
    std::vector<resolved> addresses;
};

std::vector<resolved> addresses_of(const ares_addrinfo& list) {
    std::vector<resolved> out;
    for (const ares_addrinfo_node* node = list.nodes; node; node = node->ai_next) {
        if (node->ai_family == AF_INET) {
            sockaddr_in v4{};
            std::memcpy(&v4, node->ai_addr, sizeof v4);
            out.push_back({asio::ip::address_v4(ntohl(v4.sin_addr.s_addr)).to_string(), 0, false});
        } else if (node->ai_family == AF_INET6) {
            sockaddr_in6 v6{};
            std::memcpy(&v6, node->ai_addr, sizeof v6);
            asio::ip::address_v6::bytes_type bytes;
            std::memcpy(bytes.data(), &v6.sin6_addr, bytes.size());
            out.push_back({asio::ip::address_v6(bytes, v6.sin6_scope_id).to_string(), 0, true});
        }
    }
    return out;
}

void on_answer(void* argument, int status, int /*timeouts*/, ares_addrinfo* list) {
    std::unique_ptr<std::shared_ptr<answer>> holder(static_cast<std::shared_ptr<answer>*>(argument));
    answer& to = **holder;
    to.status = status;
    if (list) {
        to.addresses = addresses_of(*list);
        ares_freeaddrinfo(list);
    }
    to.arrived = true;
    to.done.cancel();
}

std::optional<std::uint16_t> port_of(const std::string& service) {
    if (auto number = base::to_number(service))
        return *number <= 65535 ? std::optional(static_cast<std::uint16_t>(*number)) : std::nullopt;
    servent entry{};
    servent* found = nullptr;
    std::array<char, 1024> storage{};
    ::getservbyname_r(service.c_str(), "tcp", &entry, storage.data(), storage.size(), &found);
    return found ? std::optional(ntohs(static_cast<std::uint16_t>(found->s_port))) : std::nullopt;
}

bool fits(const asio::ip::address& address, address_family family) {
    return family == address_family::any || address.is_v6() == (family == address_family::ipv6);
}

base::error lookup_error(int status, const std::string& host, const std::string& service,
                         address_family family) {
    std::string reason = base::to_lower(ares_strerror(status));
    if (status == ARES_ESERVICE)
        return {{}, fmt::format("dns error: no such host or service: \"{}:{}\" ({})", host, service, reason)};
    const char* kind = family == address_family::ipv4   ? "ipv4 "
                       : family == address_family::ipv6 ? "ipv6 "
                                                        : "";
    return {{}, fmt::format("dns error: no such {}host: \"{}\" ({})", kind, host, reason)};
}

} // namespace

struct resolver::impl {
    explicit impl(worker& on) : home(on), events(std::make_shared<ares_events>(on)) {}

    worker& home;
    std::shared_ptr<ares_events> events; // shared with handlers that may run after the end
};

resolver::resolver(worker& on) : impl_(std::make_shared<impl>(on)) {}

resolver::~resolver() {
    impl_->events->close(); // ends queries that are open
}

awaitable<base::result<std::vector<resolved>>> resolver::look_up(std::string host, std::string service,
                                                                 address_family family, time_point deadline) {
    auto self = impl_;
    auto port = port_of(service);
    if (!port)
        co_return lookup_error(ARES_ESERVICE, host, service, family);
    boost::system::error_code no_literal;
    auto literal = asio::ip::make_address(host, no_literal);
    if (!no_literal) {
        if (!fits(literal, family))
            co_return lookup_error(ARES_EBADFAMILY, host, service, family);
        co_return std::vector<resolved>{{literal.to_string(), *port, literal.is_v6()}};
    }
    if (!self->events->open({}, 0))
        co_return base::error{{}, "dns error: cannot start the resolver"};
    auto state = std::make_shared<answer>(self->home.executor());
    ares_addrinfo_hints hints{};
    hints.ai_family = family == address_family::ipv4   ? AF_INET
                      : family == address_family::ipv6 ? AF_INET6
                                                       : AF_UNSPEC;
    hints.ai_socktype = SOCK_STREAM;
    ares_getaddrinfo(self->events->channel(), host.c_str(), nullptr, &hints, on_answer,
                     new std::shared_ptr<answer>(state));
    if (!state->arrived) {
        self->events->tick();
        state->done.expires_at(deadline);
        co_await state->done.async_wait(asio::as_tuple(asio::use_awaitable));
    }
    if (!state->arrived)
        co_return base::make_error(ETIMEDOUT, "dns lookup of " + host);
    if (state->status != ARES_SUCCESS || state->addresses.empty())
        co_return lookup_error(state->status == ARES_SUCCESS ? ARES_ENODATA : state->status, host, service,
                               family);
    for (resolved& one : state->addresses)
        one.port = *port;
    co_return std::move(state->addresses);
}

} // namespace net
