// Outgoing connections (spec/smtp-client.md section 2).
#pragma once

#include "base/result.hpp"
#include "net/resolver.hpp"
#include "net/stream.hpp"

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

namespace net {

class worker;

struct target {
    std::string path;    // unix-domain socket, or empty
    std::string host;    // name (A-labels) or literal
    std::string service; // number or name
    // Non-empty: host and service are a SOCKS server's, which is asked to go on to these (a name or literal,
    // and a number), and looks the name up.
    std::string far_host{};
    std::string far_service{};
};

// --client-interface: local address and perhaps port; fixes the family.
struct local_interface {
    std::string address; // literal; "0.0.0.0" and "::" fix only the family
    std::uint16_t port = 0;
    bool ipv6 = false;
};

// "ip", "ip:port", "[ip]:port", "ip6.port". Error: "address error: invalid network address: X".
base::result<local_interface> parse_local_interface(const std::string& text);

class connector {
public:
    connector(worker& on, std::optional<local_interface> from);
    ~connector();

    // Looks the host up and tries its addresses in order, all within `limit` (0 = none), the exchange with a
    // SOCKS server included. Errors carry the whole text: "connect failure: cannot connect to A[: reason]",
    // "connect failure: cannot connect to A: timed out out after Ns", "dns error: ...", "socket bind error:
    // ...", "socks error: ...".
    awaitable<base::result<stream>> connect(target to, std::chrono::seconds limit);

    // Told what is being tried: for events.
    std::function<void(const target&)> on_resolving;
    std::function<void(const std::string& address)> on_connecting;

    // Ends an attempt that is going on with "connect failure: interrupted". On the worker's thread.
    void interrupt();

private:
    struct impl;
    std::shared_ptr<impl> impl_;
};

} // namespace net
