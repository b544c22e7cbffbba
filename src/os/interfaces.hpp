// The addresses of this machine's network interfaces, and word of their changes.
#pragma once

#include "base/result.hpp"

#include <string>
#include <vector>

namespace os {

struct interface_address {
    std::string interface; // "eth0"; for an alias of IPv4 its label, "eth0:1"
    std::string address;   // literal, with "%eth0" behind it when link-local
    bool ipv6 = false;

    bool operator==(const interface_address&) const = default;
};

// In the order of the system. An address that has just been added may be in the list and not usable yet.
base::result<std::vector<interface_address>> interface_addresses();

// A descriptor that becomes readable when an address has been added or removed anywhere.
class interface_changes {
public:
    interface_changes() = default;
    ~interface_changes();
    interface_changes(const interface_changes&) = delete;
    interface_changes& operator=(const interface_changes&) = delete;

    base::result<void> open();
    int descriptor() const noexcept { return fd_; }
    // Takes what is there, without waiting: the descriptor is readable again only after a further change.
    void drain() noexcept;

private:
    int fd_ = -1;
};

} // namespace os
