#include "config/building.hpp"

#include "base/text.hpp"
#include "base/translation.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace config {

std::string absolute_path(std::string_view path, const surroundings& around) {
    if (path == "@app" || path.starts_with("@app/"))
        return around.program_directory + std::string(path.substr(4));
    if (path.empty() || path.starts_with('/'))
        return std::string(path);
    const bool has_slash = around.start_directory.ends_with('/');
    return fmt::format("{}{}{}", around.start_directory, has_slash ? "" : "/", path);
}

std::string forwarding_address(const option_values& given) {
    for (known_option name :
         {known_option("forward-to"), known_option("as-client"), known_option("as-proxy")})
        if (given.has(name))
            return given.value(name);
    return {};
}

bool is_logging(const option_values& given) {
    return given.has("log") || given.has("as-client") || given.has("as-proxy") || given.has("as-server");
}

namespace {

bool uses_syslog(const option_values& given) {
    const bool suppressed = given.has("no-syslog") || given.has("as-client");
    return is_logging(given) && (given.has("syslog") || !suppressed);
}

bool closes_stderr(const option_values& given) {
    return given.has("close-stderr") || given.has("as-server") || given.has("as-proxy");
}

} // namespace

process build_process(const option_values& given, const surroundings& around) {
    process whole;
    whole.program = around.program;
    whole.log = is_logging(given);
    whole.verbose = static_cast<int>(std::min(given.times("verbose"), 2U));
    whole.debug = given.has("debug");
    const std::vector<std::string> fields = given.items("log-format");
    const auto wants = [&](const char* field) {
        return std::count(fields.begin(), fields.end(), field) != 0;
    };
    whole.log_time = given.has("log-time") || wants("time");
    whole.log_address = given.has("log-address") || wants("address");
    whole.log_port = wants("port");
    whole.log_msgid = wants("msgid");
    whole.log_unit = wants("unit");
    whole.log_file = absolute_path(given.value("log-file"), around);
    whole.use_syslog = uses_syslog(given);
    if (!given.value("syslog").empty())
        whole.syslog_facility = given.value("syslog");
    whole.close_stderr = closes_stderr(given);
    whole.daemon = !given.has("no-daemon") && !given.has("as-client");
    if (given.has("pid-file"))
        whole.pid_file = absolute_path(given.values("pid-file").front(), around);
    if (!given.value("user").empty())
        whole.user = given.value("user");
    whole.check_only = given.has("check-config");
    whole.sandbox = !given.has("no-sandbox");
    whole.tls_config = given.items("tls-config");
    whole.threads = given.number("threads", whole.threads);
    return whole;
}

namespace {

std::vector<interface_item> build_interfaces(const option_values& given) {
    using enum interface_item::service;
    std::vector<interface_item> items;
    for (const std::string& written : given.items("interface")) {
        interface_item item{all, written};
        for (const auto& [qualifier, what] :
             {std::pair("smtp=", smtp), std::pair("pop=", pop), std::pair("admin=", admin)})
            if (written.starts_with(qualifier))
                item = {what, written.substr(written.find('=') + 1)};
        items.push_back(std::move(item));
    }
    return items;
}

anonymity build_anonymity(const option_values& given) {
    if (given.has("anonymous") && given.values("anonymous").empty())
        return {true, true, true, true};
    const std::vector<std::string> scopes = given.items("anonymous");
    const auto has = [&](const char* scope) {
        return std::count(scopes.begin(), scopes.end(), scope) != 0;
    };
    return {has("vrfy"), has("server"), has("content"), has("client")};
}

void build_server(const option_values& given, instance& one) {
    one.serve_smtp = !given.has("dont-serve") && !given.has("no-smtp") && !given.has("as-client");
    // A number too big for a port is an error of the listener; what is no number is as if not given.
    const std::string port = given.value("port");
    if (!port.empty() && port.find_first_not_of("0123456789") == port.npos)
        one.port = port;
    one.interfaces = build_interfaces(given);
    one.remote_clients = given.has("remote-clients");
    one.domain = given.value("domain");
    one.size_limit = given.number("size", one.size_limit);
    one.anonymous = build_anonymity(given);
    one.idle_timeout = given.number("idle-timeout", one.idle_timeout);
    one.sync = !given.has("no-sync");
    if (given.has("pop")) {
        auto& pop = one.pop.emplace();
        if (!given.value("pop-port").empty())
            pop.port = given.value("pop-port");
        pop.by_name = given.has("pop-by-name");
        pop.may_delete = !given.has("pop-no-delete");
        pop.tls_from_the_start = given.has("pop-tls-connection");
    }
    if (given.has("admin"))
        one.admin = admin_service{given.value("admin"), given.has("admin-terminate")};
}

void build_client(const option_values& given, instance& one) {
    one.forward_to = forwarding_address(given);
    one.forward_at_start = given.has("forward") || given.has("as-client");
    one.forward_on_disconnect = given.has("forward-on-disconnect") || given.has("as-proxy");
    if (!one.forward_to.empty()) { // without it these two do nothing
        one.immediate = given.has("immediate");
        one.poll_milliseconds = read_poll_period(given.value("poll")).value_or(0);
    }
    one.forward_connections = given.number("forward-connections", one.forward_connections);
    one.forward_to_some = given.has("forward-to-some");
    one.client_interface = given.value("client-interface");
    one.connection_timeout = given.number("connection-timeout", one.connection_timeout);
    one.response_timeout = given.number("response-timeout", one.response_timeout);
    one.prompt_timeout = given.number("prompt-timeout", one.prompt_timeout);
    one.client_mode = given.has("as-client") ||
                      (given.has("dont-serve") && one.forward_at_start && one.poll_milliseconds == 0);
}

void build_authentication(const option_values& given, const surroundings& around, instance& one) {
    const auto of_server = [&](known_option name) -> std::string {
        const std::string value = given.value(name);
        return value == "pam:" || value == "/pam" ? "pam:" : absolute_path(value, around);
    };
    one.server_auth = of_server("server-auth");
    one.pop_auth = of_server("pop-auth");
    one.server_auth_config = given.value("server-auth-config");
    const std::string client = given.value("client-auth");
    one.client_auth = client.starts_with("plain:") ? client : absolute_path(client, around);
    one.client_auth_config = given.value("client-auth-config");
}

// The switches of one side; what is not known is returned.
std::vector<std::string> build_server_switches(const option_values& given, instance& one) {
    auto& to = one.server_smtp;
    return read_switches(given.items("server-smtp-config"), {{"pipelining", &to.pipelining},
                                                             {"chunking", &to.chunking},
                                                             {"smtputf8", &to.smtputf8},
                                                             {"smtputf8strict", &to.smtputf8_strict},
                                                             {"strictparsing", &to.strict_parsing},
                                                             {"alabels", &to.a_labels},
                                                             {"linger", &to.linger}});
}

std::vector<std::string> build_client_switches(const option_values& given, instance& one) {
    auto& to = one.client_smtp;
    return read_switches(given.items("client-smtp-config"), {{"pipelining", &to.pipelining},
                                                             {"smtputf8strict", &to.smtputf8_strict},
                                                             {"eightbitstrict", &to.eightbit_strict},
                                                             {"binarymimestrict", &to.binarymime_strict},
                                                             {"linger", &to.linger}});
}

void build_checks(const option_values& given, const surroundings& around, instance& one) {
    const auto absolute = [&](std::string_view path) {
        return absolute_path(path, around);
    };
    if (given.has("filter"))
        one.filters = read_filters(given.value("filter"), absolute).value();
    if (given.has("client-filter"))
        one.client_filters = read_filters(given.value("client-filter"), absolute).value();
    if (given.has("address-verifier"))
        one.verifier = read_verifier(given.value("address-verifier"), absolute).value();
    one.dnsbl = read_dnsbl(given.value("dnsbl")).value();
    one.delivery_dir = absolute_path(given.value("delivery-dir"), around);
    one.filter_timeout = given.number("filter-timeout", one.filter_timeout);
}

void build_tls(const option_values& given, const surroundings& around, instance& one) {
    const auto files = [&](known_option name) {
        std::vector<std::string> out;
        for (const std::string& file : given.items(name))
            out.push_back(absolute_path(file, around));
        return out;
    };
    const auto authorities = [&](known_option name) {
        const std::string value = given.value(name);
        return value.starts_with('<') ? value : absolute_path(value, around);
    };
    one.server_tls.starttls = given.has("server-tls");
    one.server_tls.implicit = given.has("server-tls-connection");
    one.server_tls.required = given.has("server-tls-required");
    one.server_tls.certificate_files = files("server-tls-certificate");
    one.server_tls.verify = authorities("server-tls-verify");
    one.client_tls.starttls = given.has("client-tls");
    one.client_tls.implicit = given.has("client-tls-connection");
    one.client_tls.required = given.has("client-tls-required");
    one.client_tls.certificate_files = files("client-tls-certificate");
    one.client_tls.verify = authorities("client-tls-verify");
    one.client_tls.verify_name = given.value("client-tls-verify-name");
    one.client_tls.server_name = given.value("client-tls-server-name");
}

void build_limits(const option_values& given, instance& one) {
    auto& to = one.limits;
    to.command_line = given.number("max-command-line", std::uint64_t{to.command_line});
    to.auth_line = given.number("max-auth-line", std::uint64_t{to.auth_line});
    to.recipients = given.number("max-recipients", std::uint64_t{to.recipients});
    to.hops = given.number("max-hops", std::uint64_t{to.hops});
    to.errors = given.number("max-errors", to.errors);
    to.other_errors = given.number("max-other-errors", to.other_errors);
    to.idle_commands = given.number("max-idle-commands", to.idle_commands);
    to.sessions = given.number("max-sessions", to.sessions);
    to.sessions_per_address = given.number("max-sessions-per-address", to.sessions_per_address);
    to.command_seconds = given.number("command-timeout", to.command_seconds);
    to.data_rate = given.number("min-data-rate", to.data_rate);
    to.pending_replies = given.number("max-pending-replies", std::uint64_t{to.pending_replies});
    to.response_line = given.number("max-response-line", std::uint64_t{to.response_line});
    to.response_lines = given.number("max-response-lines", std::uint64_t{to.response_lines});
}

} // namespace

instance build_instance(const named_values& from, const surroundings& around, bool daemon) {
    const option_values& given = from.given;
    instance one;
    one.name = from.name;
    one.spool_dir =
        given.has("spool-dir") ? absolute_path(given.value("spool-dir"), around) : around.default_spool_dir;
    const bool as_it_is = !daemon && given.has("spool-dir") && !given.value("spool-dir").starts_with("@app");
    one.spool_dir_for_programs = as_it_is ? given.value("spool-dir") : one.spool_dir;
    build_server(given, one);
    build_client(given, one);
    build_server_switches(given, one);
    build_client_switches(given, one);
    build_checks(given, around, one);
    build_authentication(given, around, one);
    build_limits(given, one);
    build_tls(given, around, one);
    return one;
}

bool has_work(const instance& one) {
    return one.serve_smtp || one.pop || one.admin || one.forward_at_start || one.poll_milliseconds != 0;
}

// Warnings

namespace {

using texts = std::vector<std::string>;

void warn_of_lost_log(const option_values& given, texts& into) {
    if (!is_logging(given) || !closes_stderr(given) || uses_syslog(given) || !given.value("log-file").empty())
        return;
    const char* cause = given.has("as-server")  ? "as-server"
                        : given.has("as-proxy") ? "as-proxy"
                                                : "close-stderr";
    into.push_back(base::tr_format(
        "logging will stop because --{} closes the standard error stream soon after startup", cause));
}

void warn_of_domain(const option_values& given, const surroundings& around, texts& into) {
    const std::string domain = given.value("domain");
    const auto is_printable = [](char c) {
        return c >= ' ' && c <= '~';
    };
    if (std::all_of(domain.begin(), domain.end(), is_printable))
        return;
    std::string text = base::tr("the domain should be printable ascii");
    if (around.to_a_labels)
        if (const std::optional<std::string> better = around.to_a_labels(domain); better && *better != domain)
            text += base::tr_format(": try using \"{}\"", base::printable_ascii(*better));
    into.push_back(std::move(text));
}

void warn_of_program(const char* missing, const std::string& path, const surroundings& around, texts& into) {
    if (!around.look_at)
        return;
    const surroundings::file_kind found = around.look_at(path);
    if (found == surroundings::file_kind::missing)
        into.push_back(base::tr_format(missing, base::printable(path)));
    else if (found == surroundings::file_kind::directory)
        into.push_back(base::tr_format("invalid program: {}", base::printable(path)));
}

void warn_of_programs(const instance& one, const surroundings& around, texts& into) {
    for (const auto* chain : {&one.filters, &one.client_filters})
        for (const filter_specification& filter : *chain)
            if (filter.what == filter_specification::kind::program)
                warn_of_program(base::translatable("filter program does not exist: {}"), filter.value, around,
                                into);
    if (one.verifier && one.verifier->what == verifier_specification::kind::program)
        warn_of_program(base::translatable("verifier program does not exist: {}"), one.verifier->value,
                        around, into);
}

} // namespace

std::vector<std::string> find_warnings(const std::vector<named_values>& instances,
                                       const surroundings& around) {
    texts found;
    for (const named_values& each : instances) {
        const option_values& given = each.given;
        instance one = build_instance(each, around);
        if (given.values("pid-file").size() > 1)
            found.push_back(base::tr("more than one --pid-file: using the first"));
        warn_of_lost_log(given, found);
        if (given.has("show") && (given.has("no-daemon") || given.has("as-client")))
            found.push_back(base::tr("the --show option is ignored when using --no-daemon or --as-client"));
        if (given.value("server-auth") == "/pam" || given.value("pop-auth") == "/pam")
            found.push_back(base::tr("pam authentication should be enabled with pam: rather than /pam"));
        warn_of_domain(given, around, found);
        warn_of_programs(one, around, found);
        for (const texts& unknown : {build_server_switches(given, one), build_client_switches(given, one)})
            for (const std::string& item : unknown)
                found.push_back(base::tr_format("unknown smtp-config item [{}]", base::printable(item)));
        if (one.immediate)
            found.push_back(base::tr("using --immediate can result in client timeout errors: "
                                     "try --forward-on-disconnect instead"));
    }
    return found;
}

} // namespace config
