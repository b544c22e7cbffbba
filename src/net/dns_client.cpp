// c-ares has one time limit and one list of servers for a channel, so each server has its own channel for
// each limit; there are as many as the configuration names.
#include "net/dns_client.hpp"

#include "net/ares_events.hpp"
#include "net/worker.hpp"

#include "base/text.hpp"

#include <boost/asio/ip/address.hpp>

#include <arpa/nameser.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <limits>

namespace net {

namespace asio = boost::asio;

struct dns_client::channel {
    explicit channel(worker& on) : events(std::make_shared<ares_events>(on)) {}

    std::shared_ptr<ares_events> events; // shared with handlers that may run after the end
    std::shared_ptr<std::size_t> open = std::make_shared<std::size_t>(0); // questions; shared with them
};

namespace {

constexpr std::uint16_t domain_port = 53;

std::string for_ares(const endpoint& server) {
    return server.ipv6 ? fmt::format("[{}]:{}", server.address, server.port)
                       : fmt::format("{}:{}", server.address, server.port);
}

base::error lookup_failure(int status) {
    if (status == ARES_ETIMEOUT)
        return base::make_error(ETIMEDOUT, "dns error");
    return {{}, fmt::format("dns error: {}", base::to_lower(ares_strerror(status)))};
}

endpoint to_endpoint(const ares_addr_port_node& node) {
    auto port = static_cast<std::uint16_t>(node.udp_port == 0 ? domain_port : node.udp_port);
    if (node.family == AF_INET6) {
        asio::ip::address_v6::bytes_type bytes;
        std::memcpy(bytes.data(), &node.addr.addr6, bytes.size());
        return {asio::ip::address_v6(bytes).to_string(), port, false, true};
    }
    asio::ip::address_v4::bytes_type bytes;
    std::memcpy(bytes.data(), &node.addr.addr4, bytes.size());
    return {asio::ip::address_v4(bytes).to_string(), port, false, false};
}

// What c-ares gives back with its callback.
struct question {
    std::shared_ptr<std::size_t> open;
    dns_client::handler answered;
};

void on_answer(void* argument, int status, int /*timeouts*/, unsigned char* packet, int size) {
    std::unique_ptr<question> asked(static_cast<question*>(argument));
    --*asked->open;
    // With a packet the status only repeats what is in it.
    if (packet && size > 0)
        asked->answered(read_dns_answer({packet, static_cast<std::size_t>(size)}));
    else
        asked->answered(lookup_failure(status));
}

} // namespace

dns_client::dns_client(worker& on) : home_(on) {}

dns_client::~dns_client() {
    for (auto& [key, one] : channels_)
        one->events->close();
}

dns_client::channel* dns_client::channel_for(const endpoint& server, std::chrono::milliseconds limit) {
    std::string where = for_ares(server);
    auto& found = channels_[fmt::format("{} {}", where, limit.count())];
    if (found)
        return found.get();
    auto made = std::make_shared<channel>(home_);
    ares_options options{};
    options.flags = ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES | ARES_FLAG_IGNTC | ARES_FLAG_NOCHECKRESP;
    constexpr auto most = std::chrono::milliseconds(std::numeric_limits<int>::max() / 2);
    options.timeout = static_cast<int>(std::clamp(limit, std::chrono::milliseconds(1), most).count());
    options.tries = 1;
    if (!made->events->open(options, ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES) ||
        ares_set_servers_ports_csv(made->events->channel(), where.c_str()) != ARES_SUCCESS)
        return nullptr;
    found = std::move(made);
    return found.get();
}

void dns_client::ask(const endpoint& server, const std::string& name, dns_type type,
                     std::chrono::milliseconds limit, handler answered) {
    channel* by = channel_for(server, limit);
    if (!by)
        return answered(base::error{{}, "dns error: cannot start the resolver"});
    if (*by->open >= most_open)
        return answered(base::error{{}, "dns error: too many questions without an answer"});
    ++*by->open;
    auto events = by->events; // an answer that comes at once may do anything
    ares_query(events->channel(), name.c_str(), ns_c_in, static_cast<int>(type), on_answer,
               new question{by->open, std::move(answered)});
    if (events->channel())
        events->tick();
}

awaitable<base::result<dns_answer>> dns_client::ask(endpoint server, std::string name, dns_type type,
                                                    std::chrono::milliseconds limit, time_point until) {
    struct waiting {
        explicit waiting(worker& on) : arrived(on) {}
        event arrived;
        base::result<dns_answer> answer = lookup_failure(ARES_ETIMEOUT);
    };
    auto state = std::make_shared<waiting>(home_); // shared: the answer may come when nobody waits any more
    ask(server, name, type, limit, [state](base::result<dns_answer> answer) {
        state->answer = std::move(answer);
        state->arrived.notify();
    });
    co_await state->arrived.wait(until);
    co_return std::move(state->answer);
}

std::vector<endpoint> dns_client::system_servers() {
    std::vector<endpoint> out;
    auto events = std::make_shared<ares_events>(home_);
    ares_addr_port_node* list = nullptr;
    if (events->open({}, 0) && ares_get_servers_ports(events->channel(), &list) == ARES_SUCCESS) {
        for (ares_addr_port_node* node = list; node; node = node->next)
            out.push_back(to_endpoint(*node));
        ares_free_data(list);
    }
    if (out.empty())
        out.push_back({"127.0.0.1", domain_port, false, false});
    return out;
}

base::result<endpoint> read_dns_server(std::string_view text, std::uint16_t default_port) {
    auto literal = [](std::string_view address, std::uint16_t port) -> base::result<endpoint> {
        if (address.size() > 2 && address.front() == '[' && address.back() == ']')
            address = address.substr(1, address.size() - 2);
        boost::system::error_code bad;
        auto ip = asio::ip::make_address(std::string(address), bad);
        if (bad)
            return base::error{bad, "address error"};
        return endpoint{ip.to_string(), port, false, ip.is_v6()};
    };
    if (default_port != 0)
        if (auto whole = literal(text, default_port); whole.has_value())
            return whole;
    std::size_t at = text.find_last_of(":.");
    if (at != text.npos) {
        auto port = base::to_number(text.substr(at + 1));
        if (port && *port <= 65535)
            if (auto found = literal(text.substr(0, at), static_cast<std::uint16_t>(*port));
                found.has_value())
                return found;
    }
    return base::error{{}, fmt::format("address error: invalid network address: {}", base::printable(text))};
}

} // namespace net
