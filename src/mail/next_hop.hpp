// Where mail goes next: the address forms of --forward-to and ForwardToAddress (spec/smtp-client.md
// section 2.1).
//
// host:port, host:service, 1.2.3.4:25, [::1]:25, ::1:25, ::1.25, /path, far-host:far-port@socks-host:port.
// Text only: nothing is looked up here, and whether a literal address makes sense is found out when it is
// used.
#pragma once

#include "base/result.hpp"

#include <string>
#include <string_view>

namespace mail {

struct next_hop {
    enum class kind { tcp, local };
    kind what = kind::tcp;
    std::string
        host; // name with A-labels, or a literal address without brackets; with a SOCKS server the far host
    std::string service;    // port number or service name
    std::string path;       // of a unix-domain socket
    std::string socks_host; // empty: connect directly
    std::string socks_service;

    // What is looked up here: with a SOCKS server that alone, the far host is its affair.
    const std::string& near_host() const { return socks_host.empty() ? host : socks_host; }
    const std::string& near_service() const { return socks_host.empty() ? service : socks_service; }

    bool operator==(const next_hop&) const = default;
};

// The error's whole text is "invalid host:service format: <text>".
base::result<next_hop> parse_next_hop(std::string_view text);

} // namespace mail
