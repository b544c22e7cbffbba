#include "main/dnsbl_setup.hpp"

#include "net/dns_client.hpp"

net::dnsbl_settings dnsbl_settings(const config::dnsbl_specification& given) {
    net::dnsbl_settings out;
    out.lists = given.domains;
    out.threshold = given.threshold;
    out.timeout = std::chrono::milliseconds(given.timeout_milliseconds);
    out.deny_on_timeout = given.deny_on_timeout;
    if (!given.server.empty())
        out.server = net::read_dns_server(given.server).value(); // the configuration has been checked
    return out;
}
