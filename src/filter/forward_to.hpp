// ForwardTo of an envelope, and the parameters of `mx:` (spec/filters-and-verifiers.md section 6): pure.
#pragma once

#include "net/mail_exchangers.hpp"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace filter {

// "domain", "domain:port", "user@domain[:port]", "[1.2.3.4][:port]", "[IPv6:addr][:port]".
struct forward_to {
    std::string domain;    // A-labels; empty if there is a literal
    std::string literal{}; // address
    std::string port = "25";
};
std::optional<forward_to> read_forward_to(std::string_view text);

// "ip:port", IPv6 "ip.port".
std::string address_and_port(std::string_view literal, std::string_view port);

// "ip", "ip:port", "nst=1", "rt=15", with ';' between them; what is none of these goes to `ignored`.
net::name_servers read_mx_parameters(std::string_view text, std::vector<std::string>& ignored);

} // namespace filter
