// Addresses of peers and of ourselves, as text and as what follows from them (spec/smtp-server.md section 1).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace net {

struct endpoint {
    // "192.0.2.1", "2001:db8::1", or the path of a socket; "/" for a unix-domain peer that has none, or whose
    // name is not an absolute path in printable characters.
    std::string address;
    std::uint16_t port = 0;
    bool unix_domain = false;
    bool ipv6 = false;

    // "192.0.2.1:25", "2001:db8::1.25", "/path".
    std::string display() const;

    bool operator==(const endpoint&) const = default;
};

// Peers that may connect without --remote-clients: loopback, private and link-local ranges, unix-domain
// sockets.
bool is_local(const endpoint& peer);

// The ranges as the log names them, for the family of the peer.
std::string_view local_ranges(const endpoint& peer);

// True for IPv4 and IPv6 literals (without brackets; a scope is allowed).
bool is_ip_literal(std::string_view text);

} // namespace net
