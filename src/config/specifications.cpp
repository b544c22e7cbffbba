#include "config/specifications.hpp"

#include "base/text.hpp"
#include "base/translation.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <utility>

namespace config {

namespace {

base::error because(std::string text) {
    return {{}, std::move(text)};
}

constexpr std::uint64_t greatest_unsigned = std::numeric_limits<unsigned>::max();

bool is_digits(std::string_view text) {
    return !text.empty() &&
           std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

std::optional<unsigned> to_unsigned(std::string_view text) {
    const std::optional<std::uint64_t> number = base::to_number(text);
    return number && *number <= greatest_unsigned ? std::optional(static_cast<unsigned>(*number))
                                                  : std::nullopt;
}

// What follows `scheme`, if `text` begins with it.
std::optional<std::string_view> after(std::string_view scheme, std::string_view text) {
    return text.starts_with(scheme) ? std::optional(text.substr(scheme.size())) : std::nullopt;
}

base::result<unsigned> read_filter_number(std::string_view text) {
    if (text.empty())
        return because(base::tr("numeric value missing"));
    if (!is_digits(text))
        return because(base::tr_format("invalid numeric value: {}", base::printable(text)));
    if (const std::optional<unsigned> number = to_unsigned(text))
        return *number;
    return because(base::tr_format("numeric value too big: {}", text));
}

base::error bad_address(std::string_view text) {
    return because(base::tr_format("invalid host:service format: {}", base::printable(text)));
}

// As Sendmail, Postfix and their milters write it: "inet:port@host", "inet:host:port", "unix:/path" and the
// forms without a word in front. Gives "host:port" or the path.
std::string milter_address(std::string_view text) {
    for (const char* word : {"unix:", "local:"})
        if (const auto path = after(word, text))
            return std::string(path->starts_with('/') ? *path : std::string_view());
    for (const char* word : {"inet:", "inet6:"})
        if (const auto rest = after(word, text))
            text = *rest;
    const std::size_t at = text.find('@');
    if (at == text.npos)
        return std::string(text);
    const std::string_view host = text.substr(at + 1);
    const bool is_bare_ipv6 = host.find(':') != host.npos && !host.starts_with('[');
    return fmt::format("{}{}{}:{}", is_bare_ipv6 ? "[" : "", host, is_bare_ipv6 ? "]" : "",
                       text.substr(0, at));
}

base::result<filter_specification> read_filter(std::string_view text, const path_function& absolute) {
    using enum filter_specification::kind;

    for (const auto& [scheme, what] : {std::pair("exit:", exit), std::pair("sleepms:", sleep)}) {
        if (const auto rest = after(scheme, text)) {
            const base::result<unsigned> number = read_filter_number(*rest);
            if (!number)
                return number.error();
            return filter_specification{what, {}, *number};
        }
    }
    for (const auto& [scheme, what] :
         {std::pair("net:", network), std::pair("spam:", spamd), std::pair("spam-edit:", spamd_edit)}) {
        if (const auto rest = after(scheme, text)) {
            if (!is_host_and_service(*rest))
                return bad_address(*rest);
            return filter_specification{what, std::string(*rest)};
        }
    }
    if (const auto rest = after("milter:", text)) {
        std::string address = milter_address(*rest);
        if (!is_host_and_service(address))
            return bad_address(*rest);
        return filter_specification{milter, std::move(address)};
    }
    for (const auto& [scheme, what] :
         {std::pair("deliver:", deliver), std::pair("copy:", copy), std::pair("split:", split),
          std::pair("mx:", mx), std::pair("msgid:", message_id)}) {
        if (const auto rest = after(scheme, text))
            return filter_specification{what, std::string(*rest)};
    }
    const std::string_view path = after("file:", text).value_or(text);
    if (path.empty())
        return because(base::tr("empty file path"));
    return filter_specification{program, absolute(path)};
}

// "1000-2000" or "1000".
bool read_account_range(std::string_view text, verifier_specification& into) {
    const std::size_t dash = text.find('-');
    const std::optional<unsigned> least = to_unsigned(text.substr(0, dash));
    const std::optional<unsigned> greatest = dash == text.npos ? least : to_unsigned(text.substr(dash + 1));
    if (!least || !greatest || *least > *greatest)
        return false;
    into.account.least_uid = *least;
    into.account.greatest_uid = *greatest;
    return true;
}

// A word of at most three letters stands for one flag by a letter that it contains.
void read_account_flag(std::string_view text, verifier_specification& into) {
    const auto means = [&](std::string_view word) {
        return text == word || (text.size() <= 3 && text.find(word.front()) != text.npos);
    };
    if (means("lowercase"))
        into.account.lowercase = true;
    else if (means("remote"))
        into.account.remote = true;
    else if (means("check"))
        into.account.check = true;
}

base::result<verifier_specification> read_account(std::string_view parameters) {
    verifier_specification found{.what = verifier_specification::kind::account};
    for (const std::string& part : base::split(parameters, ';')) {
        if (part.empty())
            continue;
        if (!is_digits(part.substr(0, 1)))
            read_account_flag(part, found);
        else if (!read_account_range(part, found))
            return because(base::tr_format("invalid account range: {}", base::printable(part)));
    }
    return found;
}

} // namespace

base::result<std::vector<filter_specification>> read_filters(std::string_view value,
                                                             const path_function& absolute) {
    std::vector<filter_specification> chain;
    for (const std::string& item : base::split(value, ',')) {
        base::result<filter_specification> one = read_filter(item, absolute);
        if (!one)
            return one.error();
        chain.push_back(std::move(*one));
    }
    return chain;
}

base::result<verifier_specification> read_verifier(std::string_view value, const path_function& absolute) {
    using enum verifier_specification::kind;
    if (const auto rest = after("account:", value))
        return read_account(*rest);
    if (const auto rest = after("exit:", value)) {
        const std::optional<unsigned> code = to_unsigned(*rest);
        if (!code)
            return because(base::tr_format("not a numeric exit code: {}", base::printable(*rest)));
        return verifier_specification{.what = exit, .exit_code = *code};
    }
    if (const auto rest = after("net:", value)) {
        if (!is_host_and_service(*rest))
            return bad_address(*rest);
        return verifier_specification{.what = network, .value = std::string(*rest)};
    }
    const std::string_view path = after("file:", value).value_or(value);
    if (path.empty())
        return because(base::tr("empty file path"));
    return verifier_specification{.what = program, .value = absolute(path)};
}

// Block lists

namespace {

// The reference's test, which tells the two orders of fields apart: neither a number nor an address.
bool is_block_list_domain(std::string_view field) {
    const std::string_view name = base::trim(field);
    if (name.empty() || is_digits(name) || name.find(':') != name.npos)
        return false;
    const std::size_t dot = name.rfind('.');
    return dot == name.npos || !is_digits(name.substr(dot + 1));
}

// "1.1.1.1:53", "::1.53", "::1:53"
bool is_dns_address(std::string_view text) {
    const std::size_t at = text.find_last_of(":.");
    if (at == text.npos)
        return false;
    const std::string_view host = text.substr(0, at);
    const std::optional<std::uint64_t> port = base::to_number(text.substr(at + 1));
    const bool fits = text[at] == ':' || host.find(':') != host.npos; // a dot only behind an IPv6 address
    return fits && !host.starts_with('[') && is_ip_address(host) && port && *port <= 65535;
}

class dnsbl_reader {
public:
    explicit dnsbl_reader(std::vector<std::string> fields) : fields_(std::move(fields)) {}

    base::result<std::optional<dnsbl_specification>> read() {
        const bool new_order = is_block_list_domain(fields_.front());
        const std::optional<std::string> failure = new_order ? read_new_order() : read_old_order();
        if (failure)
            return because(*failure);
        return std::optional(std::move(found_));
    }

private:
    // domain[,domain...][,threshold[,timeout[,address]]]
    std::optional<std::string> read_new_order() {
        std::size_t at = 0;
        for (; at < fields_.size() && is_block_list_domain(fields_[at]); ++at)
            found_.domains.emplace_back(base::trim(fields_[at]));
        std::optional<std::string> failure;
        if (at < fields_.size())
            failure = read_threshold(fields_[at++]);
        if (!failure && at < fields_.size())
            failure = read_timeout(fields_[at++]);
        if (!failure && at < fields_.size())
            failure = read_server(fields_[at++]);
        if (!failure && at < fields_.size())
            failure = base::tr("unused fields");
        return failure;
    }

    // address,timeout,threshold,domain[,domain...]
    std::optional<std::string> read_old_order() {
        if (fields_.size() < 4)
            return base::tr("not enough comma-sparated fields"); // as users know it
        std::optional<std::string> failure = read_server(fields_[0]);
        if (!failure)
            failure = read_timeout(fields_[1]);
        if (!failure)
            failure = read_threshold(fields_[2]);
        for (std::size_t at = 3; at < fields_.size(); ++at)
            found_.domains.emplace_back(base::trim(fields_[at]));
        return failure;
    }

    std::optional<std::string> read_threshold(std::string_view text) {
        const std::optional<unsigned> number = to_unsigned(text);
        found_.threshold = number.value_or(0);
        return number ? std::nullopt : not_a_number(text);
    }

    // Milliseconds, or seconds with an "s"; a minus sign says what silence means.
    std::optional<std::string> read_timeout(std::string_view text) {
        std::string_view digits = text;
        found_.deny_on_timeout = digits.starts_with('-');
        if (found_.deny_on_timeout)
            digits.remove_prefix(1);
        const bool seconds = digits.ends_with('s');
        if (seconds)
            digits.remove_suffix(1);
        const std::optional<unsigned> number = to_unsigned(digits);
        found_.timeout_milliseconds = std::uint64_t{number.value_or(0)} * (seconds ? 1000 : 1);
        return number ? std::nullopt : not_a_number(text);
    }

    std::optional<std::string> read_server(std::string_view text) {
        if (!text.empty() && !is_dns_address(text))
            return base::tr_format("address error: invalid network address: {}", base::printable(text));
        found_.server = text;
        return std::nullopt;
    }

    static std::optional<std::string> not_a_number(std::string_view text) {
        return base::tr_format("string conversion error: {}", base::printable(text));
    }

    std::vector<std::string> fields_;
    dnsbl_specification found_;
};

} // namespace

base::result<std::optional<dnsbl_specification>> read_dnsbl(std::string_view value) {
    if (value.empty())
        return std::optional<dnsbl_specification>();
    return dnsbl_reader(base::split(value, ',')).read();
}

// Switches

std::vector<std::string> read_switches(const std::vector<std::string>& items,
                                       std::initializer_list<protocol_switch> switches) {
    std::vector<bool> defaults;
    for (const protocol_switch& one : switches)
        defaults.push_back(*one.state);

    const auto set = [&](std::string_view item) {
        std::size_t index = 0;
        for (const protocol_switch& one : switches) {
            const auto is = [&](std::string_view sign) {
                return item.starts_with(sign) && item.substr(sign.size()) == one.name;
            };
            const bool on = is("") || is("+") || is("with-");
            const bool off = is("-") || is("no") || is("without-");
            const bool back = is("=");
            if (on || off || back) {
                *one.state = back ? defaults[index] : on;
                return true;
            }
            ++index;
        }
        return false;
    };
    std::vector<std::string> unknown;
    for (const std::string& item : items)
        if (!set(item))
            unknown.push_back(item);
    return unknown;
}

std::optional<std::uint64_t> read_poll_period(std::string_view value) {
    if (value.ends_with("ms")) {
        const std::optional<std::uint64_t> period = base::to_number(value.substr(0, value.size() - 2));
        if (!period || *period > greatest_unsigned * 1000)
            return std::nullopt;
        return std::max<std::uint64_t>(*period, 1);
    }
    const std::optional<unsigned> seconds = to_unsigned(value);
    if (!seconds || *seconds == 0)
        return std::nullopt;
    return std::uint64_t{*seconds} * 1000;
}

// Addresses

namespace {

bool is_ipv4(std::string_view text) {
    const std::vector<std::string> parts = base::split(text, '.');
    return parts.size() == 4 && std::all_of(parts.begin(), parts.end(), [](const std::string& part) {
               const std::optional<std::uint64_t> number = base::to_number(part);
               return number && *number <= 255 && part.size() <= 3;
           });
}

bool is_hex_group(std::string_view text) {
    return !text.empty() && text.size() <= 4 && text.find_first_not_of("0123456789abcdefABCDEF") == text.npos;
}

// Number of 16-bit groups in one side of "::", nothing if it has a fault. Only the very end may be an IPv4
// address.
std::optional<std::size_t> count_groups(std::string_view text, bool is_end) {
    if (text.empty())
        return 0;
    const std::vector<std::string> groups = base::split(text, ':');
    std::size_t count = groups.size();
    for (std::size_t i = 0; i < groups.size(); ++i) {
        if (is_end && i + 1 == groups.size() && is_ipv4(groups[i]))
            ++count;
        else if (!is_hex_group(groups[i]))
            return std::nullopt;
    }
    return count;
}

bool is_ipv6(std::string_view text) {
    if (const std::size_t scope = text.find('%'); scope != text.npos) {
        if (scope + 1 == text.size() || text.substr(scope + 1).find_first_of("%/ ") != text.npos)
            return false;
        text = text.substr(0, scope);
    }
    const std::size_t gap = text.find("::");
    if (gap == text.npos)
        return !text.empty() && count_groups(text, true) == 8;
    const std::optional<std::size_t> left = count_groups(text.substr(0, gap), false);
    const std::optional<std::size_t> right = count_groups(text.substr(gap + 2), true);
    return left && right && *left + *right <= 7;
}

} // namespace

bool is_ip_address(std::string_view text) {
    if (text.size() > 2 && text.starts_with('[') && text.ends_with(']'))
        return is_ipv6(text.substr(1, text.size() - 2));
    return is_ipv4(text) || is_ipv6(text);
}

bool is_host_and_service(std::string_view text) {
    if (text.starts_with('/'))
        return true;
    const std::size_t colon = text.rfind(':');
    return colon != text.npos && colon != 0 && colon + 1 != text.size();
}

} // namespace config
