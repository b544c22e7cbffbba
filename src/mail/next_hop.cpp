#include "mail/next_hop.hpp"

#include "base/text.hpp"
#include "mail/idn.hpp"

#include <algorithm>
#include <optional>
#include <tuple>
#include <utility>

namespace mail {

namespace {

struct host_service {
    std::string_view host;
    std::string_view service;
};

bool is_digit(char c) {
    return c >= '0' && c <= '9';
}
bool is_letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
bool is_hex(char c) {
    return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

bool is_port(std::string_view text) {
    const auto port = base::to_number(text);
    return port && *port > 0 && *port < 65'536;
}

// A port or a name as in the services database.
bool is_service(std::string_view text) {
    if (std::ranges::all_of(text, is_digit))
        return is_port(text);
    return std::ranges::all_of(text, [](char c) {
        return is_digit(c) || is_letter(c) || std::string_view("-_.+").find(c) != std::string_view::npos;
    });
}

bool is_ipv4(std::string_view text) {
    const auto parts = base::split(text, '.');
    return parts.size() == 4 && std::ranges::all_of(parts, [](const std::string& part) {
               const auto value = base::to_number(part);
               return value && *value < 256 && part.size() <= 3;
           });
}

// How many 16-bit groups "a:b:c" or "a:b:1.2.3.4" stands for; nothing if it is neither. Empty text is none.
std::optional<std::size_t> ipv6_groups(std::string_view text, bool ipv4_tail) {
    if (text.empty())
        return 0;
    auto groups = base::split(text, ':');
    std::size_t count = 0;
    if (ipv4_tail && is_ipv4(groups.back())) {
        groups.pop_back();
        count = 2;
    }
    const bool good = std::ranges::all_of(groups, [](const std::string& group) {
        return !group.empty() && group.size() <= 4 && std::ranges::all_of(group, is_hex);
    });
    return good ? std::optional(count + groups.size()) : std::nullopt;
}

// The name of a network interface.
bool is_zone(std::string_view text) {
    return !text.empty() && std::ranges::all_of(text, [](char c) {
        return is_digit(c) || is_letter(c) || std::string_view("-_.").find(c) != std::string_view::npos;
    });
}

// RFC 4291 section 2.2, with a zone as of RFC 4007 section 11.
bool is_ipv6(std::string_view text) {
    const std::size_t zone = text.find('%');
    if (zone != text.npos) {
        if (!is_zone(text.substr(zone + 1)))
            return false;
        text = text.substr(0, zone);
    }
    const std::size_t gap = text.find("::");
    if (gap == text.npos)
        return ipv6_groups(text, true) == 8;
    const auto before = ipv6_groups(text.substr(0, gap), false);
    const auto after = ipv6_groups(text.substr(gap + 2), true);
    return before && after && *before + *after < 8;
}

std::optional<host_service> split_at(std::string_view text, std::size_t separator) {
    if (separator == text.npos || separator == 0 || separator + 1 == text.size())
        return std::nullopt;
    return host_service{text.substr(0, separator), text.substr(separator + 1)};
}

std::optional<host_service> split_bracketed(std::string_view text) {
    const std::size_t end = text.find(']');
    if (end == text.npos || end + 1 == text.size() || text[end + 1] != ':')
        return std::nullopt;
    const host_service found{text.substr(1, end - 1), text.substr(end + 2)};
    if (!is_ipv6(found.host) || found.service.empty())
        return std::nullopt;
    return found;
}

// "::1.25" or "::1:25": a dot behind the last colon comes before the port, if it is not that of an IPv4 tail.
std::optional<host_service> split_ipv6(std::string_view text) {
    const std::size_t colon = text.rfind(':');
    const std::size_t dot = text.rfind('.');
    const bool by_dot = dot != text.npos && dot > colon;
    const auto found = split_at(text, by_dot ? dot : colon);
    if (!found || !is_ipv6(found->host))
        return std::nullopt;
    return found;
}

bool is_host_name(std::string_view text) {
    return std::ranges::all_of(text, [](char c) {
        const auto octet = static_cast<unsigned char>(c);
        return octet > 0x20 && octet != 0x7f &&
               std::string_view("/@[]<>\"\\").find(c) == std::string_view::npos;
    });
}

// Host and service of one TCP address, the host ready for look-up.
std::optional<std::pair<std::string, std::string>> parse_tcp(std::string_view text) {
    const auto colons = std::ranges::count(text, ':');
    const bool literal = colons > 1;
    const auto found = text.starts_with('[') ? split_bracketed(text)
                       : literal             ? split_ipv6(text)
                                             : split_at(text, text.find(':'));
    if (!found || !is_service(found->service))
        return std::nullopt;
    if (literal)
        return std::pair(std::string(found->host), std::string(found->service));
    if (!is_host_name(found->host))
        return std::nullopt;
    auto host = to_a_labels(found->host);
    if (!host || host->empty())
        return std::nullopt;
    return std::pair(std::move(*host), std::string(found->service));
}

std::optional<next_hop> parse(std::string_view text) {
    next_hop hop;
    if (text.starts_with('/')) {
        if (text.find('\0') != text.npos)
            return std::nullopt;
        hop.what = next_hop::kind::local;
        hop.path = text;
        return hop;
    }
    const std::size_t at = text.find('@');
    auto far = parse_tcp(text.substr(0, at));
    if (!far)
        return std::nullopt;
    std::tie(hop.host, hop.service) = std::move(*far);
    if (at == text.npos)
        return hop;

    auto socks = parse_tcp(text.substr(at + 1));
    if (!socks || !is_port(hop.service)) // the far port goes as a number, nobody here could look up its name
        return std::nullopt;
    std::tie(hop.socks_host, hop.socks_service) = std::move(*socks);
    return hop;
}

} // namespace

base::result<next_hop> parse_next_hop(std::string_view text) {
    auto hop = parse(text);
    if (!hop)
        return base::error{{}, "invalid host:service format: " + std::string(text)};
    return std::move(*hop);
}

} // namespace mail
