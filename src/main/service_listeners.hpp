// The listening sockets of one service of a relay (SMTP, POP, administration): opened while the starting
// shell still waits, given to the server when it starts, then kept up with the addresses of named interfaces
// (spec/process-and-logging.md section 6).
#pragma once

#include "base/log.hpp"
#include "base/result.hpp"
#include "net/interface_listeners.hpp"
#include "net/listener.hpp"
#include "net/worker.hpp"
#include "relay/reception.hpp"

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

class service_listeners {
public:
    service_listeners(std::string protocol, base::logger log)
        : protocol_(std::move(protocol)), log_(std::move(log)) {}

    // `items` as of --interface, those for this service; none: both wildcard addresses.
    base::result<void> open(net::worker& on, const std::vector<std::string>& items, std::uint16_t port);

    void hand_to(relay::reception& door); // which outlives this
    void stop_following();
    void clear(); // before the workers go

private:
    base::result<void> open_wildcards(net::worker& on, std::uint16_t port);
    base::result<void> open_interfaces(net::worker& on, const std::vector<std::string>& names,
                                       std::uint16_t port);

    std::string protocol_;
    base::logger log_;
    std::vector<net::listener> listeners_; // until the server has them
    std::unique_ptr<net::interface_listeners> interfaces_;
};
