#include "config/usage_checks.hpp"

#include "base/text.hpp"
#include "base/translation.hpp"
#include "config/building.hpp"
#include "config/specifications.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <initializer_list>

namespace config {

namespace {

using verdict = std::optional<std::string>; // the text of the error, if there is one

bool has_any(const option_values& given, std::initializer_list<known_option> names) {
    return std::any_of(names.begin(), names.end(), [&](known_option name) { return given.has(name); });
}

verdict check_syslog(const option_values& given) {
    static constexpr std::string_view facilities[] = {"mail",   "user",   "daemon", "local0",
                                                      "local1", "local2", "local3", "local4",
                                                      "local5", "local6", "local7"};
    const std::vector<std::string>& values = given.values("syslog");
    if (values.empty() || std::count(std::begin(facilities), std::end(facilities), values.front()) != 0)
        return {};
    return base::tr("invalid --syslog facility: use 'mail', 'user', 'daemon', or 'local0' to 'local7'");
}

verdict check_poll(const option_values& given) {
    if (given.has("poll") && !read_poll_period(given.value("poll")))
        return base::tr("invalid --poll period: try --forward-on-disconnect");
    return {};
}

verdict check_pop(const option_values& given) {
    if (!given.has("pop") &&
        has_any(given, {"pop-port", "pop-auth", "pop-by-name", "pop-no-delete", "pop-tls-connection"}))
        return base::tr("pop options require --pop");
    if (given.has("pop") && !given.has("pop-auth"))
        return base::tr("the --pop option requires --pop-auth");
    return {};
}

verdict check_admin(const option_values& given) {
    if (given.has("admin-terminate") && !given.has("admin"))
        return base::tr("the --admin-terminate option requires --admin");
    return {};
}

verdict check_forwarding_address(const option_values& given) {
    if (given.has("forward-to") && has_any(given, {"as-client", "as-proxy"}))
        return base::tr("--forward-to cannot be used with --as-client or --as-proxy");
    if (!forwarding_address(given).empty())
        return {};
    if (has_any(given, {"forward", "as-client"}))
        return base::tr("--forward requires --forward-to");
    if (has_any(given, {"forward-on-disconnect", "as-proxy"}))
        return base::tr("--forward-on-disconnect requires --forward-to");
    if (given.has("client-filter"))
        return base::tr("--client-filter requires --forward-to");
    return {};
}

verdict check_not_serving(const option_values& given) {
    if (has_any(given, {"dont-serve", "as-client"}))
        for (known_option name : {known_option("filter"), known_option("port"), known_option("server-auth"),
                                  known_option("pop"), known_option("admin")})
            if (given.has(name))
                return base::tr_format("the --{} option cannot be used with --as-client or --dont-serve",
                                       name.row().name);
    if (given.has("no-smtp"))
        for (known_option name : {known_option("filter"), known_option("port"), known_option("server-auth")})
            if (given.has(name))
                return base::tr_format("the --{} option cannot be used with --no-smtp", name.row().name);
    return {};
}

verdict check_authentication(const option_values& given) {
    if (given.has("server-auth-config") && !given.has("server-auth"))
        return base::tr("the --server-auth-config option requires --server-auth");
    if (given.has("client-auth-config") && !given.has("client-auth"))
        return base::tr("the --client-auth-config option requires --client-auth");
    return {};
}

verdict check_logging(const option_values& given) {
    if (given.has("verbose") && !is_logging(given) && !given.has("help"))
        return base::tr(
            "the --verbose option must be used with --log, --help, --as-client, --as-server or --as-proxy");
    if (given.has("debug") && !is_logging(given))
        return base::tr("the --debug option requires --log, --as-client, --as-server or --as-proxy");
    return {};
}

verdict check_tls_modes(const option_values& given) {
    const bool client_mode = has_any(given, {"client-tls", "client-tls-connection"});
    const bool server_mode = has_any(given, {"server-tls", "server-tls-connection"});
    if (given.has("client-tls") && given.has("client-tls-connection"))
        return base::tr("the --client-tls and --client-tls-connection options cannot be used together");
    if (given.has("server-tls") && given.has("server-tls-connection"))
        return base::tr("the --server-tls and --server-tls-connection options cannot be used together");
    for (known_option mode : {known_option("server-tls"), known_option("server-tls-connection")})
        if (given.has(mode) && !given.has("server-tls-certificate"))
            return base::tr_format("the --{} option requires --server-tls-certificate", mode.row().name);
    if (!server_mode && given.has("pop-tls-connection"))
        return base::tr("--pop-tls-connection requires --server-tls or --server-tls-connection");
    if (!server_mode && has_any(given, {"server-tls-certificate", "server-tls-verify"}))
        return base::tr("the --server-tls options require either --server-tls or --server-tls-connection");
    if (!client_mode &&
        has_any(given, {"client-tls-certificate", "client-tls-verify", "client-tls-required"}))
        return base::tr("the --client-tls- options require --client-tls or --client-tls-connection");
    return {};
}

verdict check_tls_details(const option_values& given) {
    for (known_option name : {known_option("server-tls-certificate"), known_option("client-tls-certificate")})
        if (given.items(name).size() > 2)
            return base::tr_format("the --{} option cannot be used more than twice", name.row().name);
    if (given.has("client-tls-verify-name") && !given.has("client-tls-verify"))
        return base::tr("the --client-tls-verify-name options requires --client-tls-verify");
    if (given.has("server-tls-required") && !has_any(given, {"server-tls", "server-tls-connection"}))
        return base::tr("--server-tls-required requires --server-tls or --server-tls-connection");
    return {};
}

verdict check_addresses(const option_values& given) {
    const std::vector<std::string> items = given.items("interface");
    const auto is_client = [](const std::string& item) {
        return item.starts_with("client=");
    };
    if (std::any_of(items.begin(), items.end(), is_client))
        return base::tr(
            "using --interface with client= is no longer supported: use --client-interface instead");
    if (given.has("dnsbl") && !given.has("remote-clients"))
        return base::tr("--dnsbl requires --remote-clients or -r");
    if (given.has("client-interface") && forwarding_address(given).starts_with('/'))
        return base::tr("the --client-interface option cannot be used with a unix-domain forwarding address");
    return {};
}

// Else "--server-auth=$SECRETS" without the variable would let everybody in.
verdict check_empty_values(const option_values& given) {
    for (known_option name : {known_option("domain"), known_option("server-auth"), known_option("pop-auth"),
                              known_option("server-tls-certificate"), known_option("server-tls-verify"),
                              known_option("client-tls-verify"), known_option("client-tls-verify-name")})
        if (given.has(name) && given.value(name).empty())
            return base::tr_format("the --{} value must not be empty", name.row().name);
    return {};
}

verdict check_specifications(const option_values& given) {
    const auto as_it_is = [](std::string_view path) {
        return std::string(path);
    };
    const auto refuse = [](const char* text, const base::error& why) {
        return base::tr_format(text, why.message());
    };
    if (given.has("filter"))
        if (auto chain = read_filters(given.value("filter"), as_it_is); !chain)
            return refuse(base::translatable("invalid filter specification: {}"), chain.error());
    if (given.has("client-filter"))
        if (auto chain = read_filters(given.value("client-filter"), as_it_is); !chain)
            return refuse(base::translatable("invalid client filter specification: {}"), chain.error());
    if (given.has("address-verifier"))
        if (auto verifier = read_verifier(given.value("address-verifier"), as_it_is); !verifier)
            return refuse(base::translatable("invalid verifier specification: {}"), verifier.error());
    return {};
}

verdict check_new_numbers(const option_values& given) {
    for (const option& row : options()) {
        if (!row.checked_number)
            continue;
        const auto [least, most] = *row.checked_number;
        for (const std::string& value : given.values(index_of(row))) {
            const std::optional<std::uint64_t> number = base::to_number(value);
            if (number && (*number == 0 || (*number >= least && *number <= most)))
                continue;
            return base::tr_format("invalid --{} value: \"{}\": use 0 or a number from {} to {}", row.name,
                                   base::printable(value), least, most);
        }
    }
    return {};
}

} // namespace

std::optional<std::string> find_usage_error(const option_values& given) {
    for (auto check :
         {check_syslog, check_poll, check_pop, check_admin, check_forwarding_address, check_not_serving,
          check_authentication, check_logging, check_tls_modes, check_tls_details, check_addresses,
          check_empty_values, check_specifications, check_new_numbers})
        if (verdict text = check(given))
            return text;
    return {};
}

std::optional<std::string> find_value_error(const option_values& given) {
    if (auto lists = read_dnsbl(given.value("dnsbl")); !lists)
        return base::tr_format("invalid dnsbl configuration: {}", lists.error().message());
    return {};
}

std::vector<std::string> find_unavailable(const std::vector<named_values>& instances) {
    std::vector<std::string> texts;
    for (const option& row : options()) {
        const auto uses = [&](const named_values& one) {
            return one.given.has(index_of(row));
        };
        if (row.built == availability::later && std::any_of(instances.begin(), instances.end(), uses))
            texts.push_back(base::tr_format("--{} is not available in this build yet", row.name));
    }
    return texts;
}

} // namespace config
