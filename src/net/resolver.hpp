// Host names to addresses, by c-ares on the worker's own event loop.
#pragma once

#include "base/result.hpp"
#include "net/stream.hpp"

#include <memory>
#include <string>
#include <vector>

namespace net {

class worker;

enum class address_family { any, ipv4, ipv6 };

struct resolved {
    std::string address; // literal
    std::uint16_t port = 0;
    bool ipv6 = false;
};

class resolver {
public:
    explicit resolver(worker& on);
    ~resolver();
    resolver(const resolver&) = delete;
    resolver& operator=(const resolver&) = delete;

    // Literals and names from the hosts file and the DNS; service is a number or a name of the services
    // database. Error texts: "dns error: no such host: "h" (<reason>)", "... no such ipv4 host", "... no such
    // host or service: "h:s"". Ends by the deadline with errc::timed_out.
    awaitable<base::result<std::vector<resolved>>> look_up(std::string host, std::string service,
                                                           address_family family, time_point deadline);

private:
    struct impl;
    std::shared_ptr<impl> impl_; // shared with look-ups that are going on
};

} // namespace net
