// Listening on network interfaces by name (spec/process-and-logging.md section 6).
//
// "eth0" stands for all addresses of that interface, "eth0-ipv4" and "eth0-ipv6" for those of one family.
// Addresses come and go while the program runs: each has a listener for as long as it is there. An address
// that cannot be bound yet (IPv6 checks new ones for duplicates first) or for another reason is tried again.
#pragma once

#include "base/log.hpp"
#include "base/result.hpp"
#include "net/listener.hpp"
#include "os/interfaces.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace net {

class worker;

// What is neither an address, a path nor "fd#N" is taken for the name of an interface, whether there is such
// a one or not.
bool is_interface_name(std::string_view item);

// Whether "name", "name-ipv4" or "name-ipv6" stands for this address.
bool is_of_interface(std::string_view item, const os::interface_address& address);

class interface_listeners {
public:
    using address_source = std::function<base::result<std::vector<os::interface_address>>()>;

    interface_listeners(worker& on, std::vector<std::string> names, std::uint16_t port, base::logger log,
                        address_source source = os::interface_addresses);
    ~interface_listeners();

    // Those of the present addresses, without any that one of `others` has already. A name that has none gets
    // a warning. An address that cannot be bound is an error, as of listener::open, unless it is not usable
    // yet.
    base::result<std::vector<listener>> open(const std::vector<listener>& others);

    // From now on tells of each address that comes or goes, within half a second of the change, on the
    // worker's thread.
    void follow(std::function<void(listener)> added, std::function<void(const endpoint&)> removed);
    void update(); // at once: follow() does this after each change
    void stop();

private:
    struct impl;
    std::shared_ptr<impl> impl_; // shared with handlers that may run after the end
};

} // namespace net
