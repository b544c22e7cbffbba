#include "main/check_configuration.hpp"

#include "main/relay_instance.hpp"
#include "main/tls_setup.hpp"

#include "base/text.hpp"
#include "base/translation.hpp"
#include "config/specifications.hpp"
#include "net/interface_listeners.hpp"
#include "os/filesystem.hpp"
#include "os/identity.hpp"
#include "os/process.hpp"
#include "os/worker_pool.hpp"
#include "sasl/server.hpp"
#include "tls/certificate_facts.hpp"

#include <fmt/ranges.h>

#include <atomic>
#include <cstdio>
#include <memory>
#include <string>
#include <utility>
#include <vector>

using base::tr;
using base::tr_format;

namespace {

// A relay that is only asked whether it could be made says nothing.
class silent_log : public base::log_sink {
public:
    bool wants(base::severity, base::detail) const noexcept override { return false; }
    void write(base::severity, const base::log_context&, std::string_view) override {}
};

std::string parent_of(const std::string& path) {
    const std::size_t slash = path.rfind('/');
    return slash == 0 || slash == path.npos ? "/" : path.substr(0, slash);
}

// As it is written behind --filter.
std::string text_of(const config::filter_specification& filter) {
    using enum config::filter_specification::kind;
    switch (filter.what) {
    case program:
        return filter.value;
    case network:
        return "net:" + filter.value;
    case spamd:
        return "spam:" + filter.value;
    case spamd_edit:
        return "spam-edit:" + filter.value;
    case exit:
        return fmt::format("exit:{}", filter.number);
    case sleep:
        return fmt::format("sleepms:{}", filter.number);
    case deliver:
        return "deliver:" + filter.value;
    case copy:
        return "copy:" + filter.value;
    case split:
        return "split:" + filter.value;
    case mx:
        return "mx:" + filter.value;
    case message_id:
        return "msgid:";
    case milter:
        break;
    }
    return "milter:" + filter.value;
}

std::string text_of(const std::vector<config::filter_specification>& chain) {
    std::vector<std::string> items;
    for (const config::filter_specification& one : chain)
        items.push_back(text_of(one));
    return fmt::format("{}", fmt::join(items, ", "));
}

std::string text_of(const config::verifier_specification& verifier) {
    using enum config::verifier_specification::kind;
    switch (verifier.what) {
    case program:
        return verifier.value;
    case network:
        return "net:" + verifier.value;
    case account:
        return "account:";
    case exit:
        break;
    }
    return fmt::format("exit:{}", verifier.exit_code);
}

std::string names_of(const std::vector<sasl::mechanism>& mechanisms) {
    std::string names;
    for (sasl::mechanism m : mechanisms)
        names.append(names.empty() ? "" : " ").append(sasl::name_of(m));
    return names.empty() ? tr("none") : names;
}

class configuration_check {
public:
    explicit configuration_check(const config::configuration& c)
        : config_(c), files_(os::make_filesystem()) {}

    int run() {
        if (auto adopted = os::adopt_user(config_.whole.user); adopted.has_error())
            errors_.push_back(adopted.error().message());
        check_process();
        for (const config::instance& one : config_.instances)
            check_instance(one);
        for (const std::string& text : config_.warnings)
            std::fputs(tr_format("{}: warning: {}\n", config_.whole.program, text).c_str(), stderr);
        for (const std::string& text : errors_)
            std::fputs(tr_format("{}: error: {}\n", config_.whole.program, text).c_str(), stderr);
        if (!errors_.empty())
            return 1;
        describe_process();
        for (const config::instance& one : config_.instances)
            describe_instance(one);
        std::fputs(out_.c_str(), stdout);
        return 0;
    }

private:
    void check_process() {
        const config::process& whole = config_.whole;
        // The pid file's directory is made if need be, but not those above it.
        if (!whole.pid_file.empty() &&
            os::look_at(parent_of(parent_of(whole.pid_file))) != os::file_kind::directory)
            errors_.push_back(
                tr_format("no directory for the pid file: {}", base::printable(whole.pid_file)));
        if (!whole.log_file.empty() && os::look_at(parent_of(whole.log_file)) != os::file_kind::directory)
            errors_.push_back(
                tr_format("no directory for the log file: {}", base::printable(whole.log_file)));
    }

    void check_instance(const config::instance& one) {
        check_spool(one.spool_dir);
        const auto too_big = [](const std::string& port) {
            return base::to_number(port).value_or(0) > 65535;
        };
        if ((one.serve_smtp && too_big(one.port)) || (one.admin && too_big(one.admin->port)) ||
            (one.pop && too_big(one.pop->port)))
            errors_.push_back(tr("address error: port number too big"));
        for (const config::interface_item& item : one.interfaces)
            check_interface(item.address);
        // What the parts of the relay find themselves: addresses, certificates, secrets, filters.
        os::worker_pool nobody("check", 1, [] {});
        const helper_processes none;
        relay::descriptor_allowance no_sessions(0);
        relay_instance relay(one, *files_, nobody, none, std::make_shared<std::atomic<bool>>(false),
                             no_sessions, base::logger(log_));
        tls_setup tls(config_, base::logger(log_));
        if (auto opened = relay.open_tls(tls); opened.has_error())
            errors_.push_back(opened.error().message());
        if (auto configured = relay.configure(); configured.has_error())
            errors_.push_back(configured.error().message());
        nobody.stop();
    }

    void check_spool(const std::string& directory) {
        switch (os::look_at(directory)) {
        case os::file_kind::missing:
            errors_.push_back(tr_format("invalid spool directory: {}: no such file or directory",
                                        base::printable(directory)));
            break;
        case os::file_kind::file:
            errors_.push_back(
                tr_format("invalid spool directory: {}: not a directory", base::printable(directory)));
            break;
        case os::file_kind::directory:
            // Threads that work on files regain root.
            if (!os::has_given_up_root() && !os::may_write_to(directory))
                errors_.push_back(
                    tr_format("invalid spool directory: {}: permission denied", base::printable(directory)));
            break;
        }
    }

    void check_interface(const std::string& address) {
        const bool is_descriptor =
            address.starts_with("fd#") && base::to_number(std::string_view(address).substr(3)).has_value();
        const bool good = address.starts_with('/') || is_descriptor || config::is_ip_address(address) ||
                          net::is_interface_name(address);
        if (!good)
            errors_.push_back(tr_format("invalid address or interface name: {}", base::printable(address)));
    }

    void say(const std::string& text) { out_ += text + "\n"; }

    void describe_process() {
        const config::process& whole = config_.whole;
        say(tr("The configuration is correct."));
        bool has_work = false;
        for (const config::instance& one : config_.instances)
            has_work = has_work || config::has_work(one);
        if (!has_work)
            say(tr("There would be nothing to do."));
        else if (whole.daemon)
            say(tr("It would run in the background."));
        else
            say(tr("It would run in the foreground."));
        if (os::has_given_up_root())
            say(tr_format("Root would be given up for the user {}.", whole.user));
        if (!whole.log)
            say(tr("Nothing would be logged."));
        else if (!whole.log_file.empty())
            say(tr_format("Log file: {}", whole.log_file));
        if (whole.use_syslog)
            say(tr_format("Log to syslog: {}", whole.syslog_facility));
        if (!whole.pid_file.empty())
            say(tr_format("Pid file: {}", whole.pid_file));
    }

    void describe_instance(const config::instance& one) {
        say("");
        if (!one.name.empty())
            say(tr_format("Relay {}", one.name));
        say(tr_format("Spool: {}", one.spool_dir));
        using enum config::interface_item::service;
        if (one.serve_smtp)
            say(tr_format("SMTP server: {}", addresses(one, smtp, one.port)));
        else
            say(tr("No SMTP server"));
        if (one.serve_smtp)
            say(one.remote_clients ? tr("Clients: any address") : tr("Clients: local addresses"));
        if (one.dnsbl)
            say(tr_format("Block lists: {}", fmt::join(one.dnsbl->domains, ", ")));
        if (one.serve_smtp && !one.server_auth.empty())
            describe_logins(tr_format("Accounts of SMTP clients: {}", one.server_auth), one.server_auth, one,
                            !one.server_tls.implicit);
        if (one.verifier)
            say(tr_format("Address verifier: {}", text_of(*one.verifier)));
        if (!one.filters.empty())
            say(tr_format("Filters: {}", text_of(one.filters)));
        if (one.pop)
            describe_pop(one);
        if (one.server_tls.enabled())
            describe_server_tls(one);
        if (one.admin)
            say(tr_format("Admin server: {}", addresses(one, admin, one.admin->port)));
        if (!one.forward_to.empty())
            describe_forwarding(one);
    }

    static std::string addresses(const config::instance& one, config::interface_item::service which,
                                 const std::string& port) {
        std::string list;
        for (const config::interface_item& item : one.interfaces) {
            if (item.what != config::interface_item::service::all && item.what != which)
                continue;
            const bool has_port = !item.address.starts_with('/') && !item.address.starts_with("fd#");
            list += (list.empty() ? "" : ", ") + item.address;
            if (has_port)
                list += tr_format(" port {}", port);
        }
        return list.empty() ? tr_format("all addresses, port {}", port) : list;
    }

    void describe_pop(const config::instance& one) {
        say(tr_format("POP server: {}", addresses(one, config::interface_item::service::pop, one.pop->port)));
        if (one.pop->tls_from_the_start)
            say(tr("POP speaks TLS from the first octet"));
        describe_logins(tr_format("Accounts of POP clients: {}", one.pop_auth), one.pop_auth, one,
                        !one.pop->tls_from_the_start);
        if (one.pop->by_name)
            say(tr("Each POP user has a mailbox"));
        if (!one.pop->may_delete)
            say(tr("POP clients delete nothing"));
    }

    // The secrets have been found good.
    void describe_logins(const std::string& text, const std::string& source, const config::instance& one,
                         bool begins_in_clear) {
        say(text);
        auto rules = std::make_shared<const sasl::mechanism_rules>(
            sasl::mechanism_rules::parse(one.server_auth_config, false));
        sasl::server logins(rules);
        if (source != "pam:") {
            os::root_scope as_root;
            auto secrets = os::read_secret_file(source);
            if (secrets.has_error())
                return;
            logins = sasl::server(sasl::secrets::parse(secrets->view()).value, rules,
                                  std::make_shared<const base::secret_text>());
        }
        auto in_clear = one.server_tls.required ? std::vector<sasl::mechanism>() : logins.mechanisms(false);
        if (begins_in_clear)
            say(tr_format("Mechanisms without TLS: {}", names_of(in_clear)));
        if (one.server_tls.enabled())
            say(tr_format("Mechanisms with TLS: {}", names_of(logins.mechanisms(true, true))));
    }

    void describe_server_tls(const config::instance& one) {
        if (one.serve_smtp)
            say(one.server_tls.implicit ? tr("Clients speak TLS from the first octet")
                                        : tr("Clients are offered STARTTLS"));
        if (one.server_tls.required)
            say(tr("Clients must use TLS"));
        describe_certificate(one.server_tls);
        if (!one.server_tls.verify.empty())
            say(tr_format("Clients' certificates are checked by: {}", one.server_tls.verify));
    }

    void describe_certificate(const config::tls_side& side) {
        if (side.certificate_files.empty())
            return;
        auto facts = tls::facts_of_certificate(side.certificate_files);
        if (facts.has_error())
            return; // opening the context has found it good: it has gone since
        say(tr_format("Certificate: {}", base::printable(side.certificate_files.back())));
        say(tr_format("Its subject: {}", base::printable(facts->subject)));
        say(facts->expired ? tr_format("It has expired: {}", facts->not_after)
                           : tr_format("It is good until: {}", facts->not_after));
    }

    void describe_forwarding(const config::instance& one) {
        say(tr_format("Forwarding to: {}", one.forward_to));
        if (one.client_tls.enabled())
            say(one.client_tls.implicit ? tr("Forwarding with TLS from the first octet")
                                        : tr("Forwarding with STARTTLS where it is offered"));
        if (one.client_tls.required)
            say(tr("Nothing is forwarded without TLS"));
        describe_certificate(one.client_tls);
        if (!one.client_tls.verify.empty())
            say(tr_format("Servers' certificates are checked by: {}", one.client_tls.verify));
        if (!one.client_auth.empty()) // which may be the secret itself
            say(tr_format("Accounts for forwarding: {}",
                          one.client_auth.starts_with("plain:") ? "plain:..." : one.client_auth));
        if (!one.client_filters.empty())
            say(tr_format("Filters before forwarding: {}", text_of(one.client_filters)));
        if (one.forward_at_start)
            say(tr("Forwarding at the start"));
        if (one.forward_on_disconnect)
            say(tr("Forwarding when a client has disconnected"));
        if (one.immediate)
            say(tr("Forwarding while the client waits"));
        if (one.poll_milliseconds != 0)
            say(tr_format("Forwarding every {} ms", one.poll_milliseconds));
    }

    const config::configuration& config_;
    std::unique_ptr<os::filesystem> files_;
    silent_log log_;
    std::vector<std::string> errors_;
    std::string out_;
};

} // namespace

int check_configuration(const config::configuration& configuration) {
    return configuration_check(configuration).run();
}
