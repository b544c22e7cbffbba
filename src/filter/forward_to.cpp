#include "filter/forward_to.hpp"

#include "base/text.hpp"
#include "filter/parameters.hpp"
#include "mail/idn.hpp"
#include "net/dns_client.hpp"

#include <algorithm>
#include <utility>

namespace filter {

namespace {

constexpr std::string_view ipv6_tag = "IPv6:";
constexpr std::uint16_t domain_port = 53;
constexpr std::size_t longest_name = 253, longest_label = 63; // RFC 1035 section 2.3.4, as text

// No server need be asked about another one, nor ever could be. A backslash would be the resolver's escape.
bool is_name(std::string_view domain) {
    if (domain.size() > longest_name || domain.find('\\') != domain.npos)
        return false;
    const std::vector<std::string> labels = base::split(domain, '.');
    return std::all_of(labels.begin(), labels.end(), [](const std::string& label) {
        return !label.empty() && label.size() <= longest_label;
    });
}

std::optional<forward_to> read_literal(std::string_view text) {
    std::size_t end = text.find(']');
    if (end == text.npos)
        return std::nullopt;
    forward_to out;
    std::string_view inside = text.substr(1, end - 1), rest = text.substr(end + 1);
    bool tagged = base::iequals(inside.substr(0, ipv6_tag.size()), ipv6_tag);
    out.literal = tagged ? inside.substr(ipv6_tag.size()) : inside;
    bool is_v6 = out.literal.find(':') != out.literal.npos;
    if (!net::is_ip_literal(out.literal) || is_v6 != tagged)
        return std::nullopt;
    if (!rest.empty()) {
        if (rest.front() != ':' || !is_port(rest.substr(1)))
            return std::nullopt;
        out.port = rest.substr(1);
    }
    return out;
}

} // namespace

std::optional<forward_to> read_forward_to(std::string_view text) {
    std::size_t at = text.rfind('@');
    if (at != text.npos)
        text.remove_prefix(at + 1);
    if (text.starts_with('['))
        return read_literal(text);
    forward_to out;
    std::size_t colon = text.rfind(':');
    if (colon != text.npos && is_port(text.substr(colon + 1))) {
        out.port = text.substr(colon + 1);
        text = text.substr(0, colon);
    }
    if (text.ends_with('.'))
        text.remove_suffix(1);
    out.domain = mail::to_a_labels(text).value_or(std::string(text));
    return is_name(out.domain) ? std::optional(std::move(out)) : std::nullopt;
}

std::string address_and_port(std::string_view literal, std::string_view port) {
    std::string out(literal);
    out += literal.find(':') == literal.npos ? ':' : '.';
    return out.append(port);
}

net::name_servers read_mx_parameters(std::string_view text, std::vector<std::string>& ignored) {
    net::name_servers out;
    for (const std::string& word : base::split(text, ';')) {
        std::size_t equals = word.find('=');
        std::string_view name = std::string_view(word).substr(0, equals);
        auto seconds = equals == word.npos ? std::nullopt : base::to_number(word.substr(equals + 1));
        bool usable = seconds && *seconds <= 86400;
        if (usable && name == "nst")
            out.next = std::chrono::seconds(*seconds);
        else if (usable && name == "rt")
            out.again = std::chrono::seconds(*seconds);
        else if (auto server = net::read_dns_server(word, domain_port); server.has_value())
            out.servers.push_back(std::move(*server));
        else if (!word.empty())
            ignored.push_back(word);
    }
    return out;
}

} // namespace filter
