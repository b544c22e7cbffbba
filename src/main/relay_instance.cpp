#include "main/relay_instance.hpp"

#include "main/dnsbl_setup.hpp"

#include "base/text.hpp"
#include "mail/idn.hpp"
#include "mail/next_hop.hpp"
#include "os/process.hpp"

#include <boost/system/errc.hpp>

#include <algorithm>
#include <iterator>

using std::chrono::seconds;

namespace {

// Interface items that concern SMTP.
std::vector<std::string> smtp_addresses(const config::instance& config) {
    std::vector<std::string> out;
    for (const config::interface_item& item : config.interfaces)
        if (item.what == config::interface_item::service::all ||
            item.what == config::interface_item::service::smtp)
            out.push_back(item.address);
    return out;
}

// A port that is not a number counts as the default (spec/command-line.md section 3.1).
base::result<std::uint16_t> port_number(const std::string& text) {
    auto number = base::to_number(text);
    if (!number)
        return std::uint16_t{25};
    if (*number > 65535)
        return base::error{{}, "address error: port number too big"};
    return static_cast<std::uint16_t>(*number);
}

// A session may need a second descriptor for its content file; some are for the rest of the process.
std::size_t sessions_that_descriptors_allow() {
    std::size_t limit = os::descriptor_limit();
    return std::max<std::size_t>(limit > 200 ? (limit - 100) / 4 * 3 : limit / 2, 1);
}

// --domain, else the canonical name of the host, else "<host>.localnet" (spec/process-and-logging.md section
// 9).
std::string domain_of(const config::instance& config) {
    if (!config.domain.empty())
        return config.domain;
    std::string name = os::canonical_host_name();
    if (name.find('.') == std::string::npos)
        name = os::host_name() + ".localnet";
    return mail::to_a_labels(name).value_or(name);
}

} // namespace

relay_instance::relay_instance(const config::instance& config, os::filesystem& files, os::worker_pool& disk,
                               std::shared_ptr<std::atomic<bool>> syntax_hint_given, base::logger log)
    : config_(config), files_(files), disk_(disk), syntax_hint_given_(std::move(syntax_hint_given)),
      log_(std::move(log)), work_(disk) {
    config_.domain = domain_of(config_);
}

relay_instance::~relay_instance() = default;

bool relay_instance::takes_activation_sockets() const {
    return config_.serve_smtp && smtp_addresses(config_).empty();
}

base::result<void> relay_instance::prepare(net::worker_group& workers) {
    if (!config_.forward_to.empty()) {
        auto settings = forwarder_settings();
        if (settings.has_error())
            return settings.error();
        forwarding_ = std::move(*settings);
    }
    return config_.serve_smtp ? bind(workers) : base::result<void>();
}

base::result<void> relay_instance::bind(net::worker_group& workers) {
    auto port = port_number(config_.port);
    if (port.has_error())
        return port.error();
    std::vector<std::string> items = smtp_addresses(config_);
    for (int socket : activation_sockets_)
        items.push_back("fd#" + std::to_string(socket));
    if (items.empty())
        return bind_wildcards(workers[0], *port);
    std::vector<std::string> names;
    for (const std::string& item : items) {
        if (net::is_interface_name(item)) {
            names.push_back(item);
            continue;
        }
        auto opened = net::listener::open(workers[0], item, *port);
        if (opened.has_error())
            return opened.error();
        listeners_.push_back(std::move(*opened));
    }
    return names.empty() ? base::result<void>() : bind_interfaces(workers[0], std::move(names), *port);
}

base::result<void> relay_instance::bind_wildcards(net::worker& on, std::uint16_t port) {
    for (const char* address : {"0.0.0.0", "::"}) {
        auto opened = net::listener::open(on, address, port);
        if (opened.has_value()) {
            listeners_.push_back(std::move(*opened));
            continue;
        }
        bool no_such_family = opened.error().code == boost::system::errc::address_family_not_supported ||
                              opened.error().code == boost::system::errc::address_not_available;
        if (listeners_.empty() || !no_such_family)
            return opened.error();
        // a host without IPv6
    }
    return {};
}

base::result<void> relay_instance::bind_interfaces(net::worker& on, std::vector<std::string> names,
                                                   std::uint16_t port) {
    interfaces_ = std::make_unique<net::interface_listeners>(on, names, port, log_);
    auto opened = interfaces_->open(listeners_);
    if (opened.has_error())
        return opened.error();
    std::move(opened->begin(), opened->end(), std::back_inserter(listeners_));
    if (listeners_.empty())
        for (const std::string& name : names)
            log_.warning("smtp server: nothing to do: waiting for interface \"{}\"", base::printable(name));
    return {};
}

base::result<void> relay_instance::open_spool() {
    spool::settings settings;
    settings.directory = config_.spool_dir;
    settings.sync = config_.sync;
    auto opened = spool::store::open(std::move(settings), files_, disk_, log_);
    if (opened.has_error())
        return opened.error();
    store_ = std::move(*opened);
    if (!config_.sync)
        log_.summary(
            "spool: messages are not flushed to the disk: a power failure can lose mail (--no-sync)");
    return {};
}

relay::smtp_server_settings relay_instance::server_settings() const {
    relay::smtp_server_settings s;
    s.protocol.domain = config_.domain;
    s.protocol.version = EMAILRELAY_VERSION;
    s.protocol.syntax_hint_given = syntax_hint_given_;
    s.protocol.anonymous_server = config_.anonymous.server;
    s.protocol.anonymous_vrfy = config_.anonymous.vrfy;
    s.protocol.anonymous_content = config_.anonymous.content;
    s.protocol.size_limit = config_.size_limit;
    s.protocol.pipelining = config_.server_smtp.pipelining;
    s.protocol.chunking = config_.server_smtp.chunking;
    s.protocol.smtputf8 = config_.server_smtp.smtputf8;
    s.protocol.smtputf8_strict = config_.server_smtp.smtputf8_strict;
    s.protocol.strict_parsing = config_.server_smtp.strict_parsing;
    s.protocol.a_labels = config_.server_smtp.a_labels;
    s.protocol.max_command_line = config_.limits.command_line;
    s.protocol.max_recipients = config_.limits.recipients;
    s.protocol.max_errors = config_.limits.errors;
    s.protocol.max_other_errors = config_.limits.other_errors;
    s.protocol.max_idle_commands = config_.limits.idle_commands;
    s.door.remote_clients = config_.remote_clients;
    s.linger = config_.server_smtp.linger;
    s.idle_timeout = seconds(config_.idle_timeout);
    s.command_timeout = seconds(config_.limits.command_seconds);
    s.data_rate = config_.limits.data_rate;
    s.door.max_sessions = config_.limits.sessions;
    if (s.door.max_sessions != 0)
        s.door.max_sessions = std::min(s.door.max_sessions, sessions_that_descriptors_allow());
    s.door.max_sessions_per_address = config_.limits.sessions_per_address;
    return s;
}

base::result<relay::forwarder_settings> relay_instance::forwarder_settings() const {
    relay::forwarder_settings s;
    auto to = mail::parse_next_hop(config_.forward_to);
    if (to.has_error())
        return base::error{{}, "forwarding failure: " + to.error().message()};
    s.to = *to;
    relay::client_session_settings& c = s.client;
    c.protocol.helo_name = config_.domain;
    c.protocol.forward_to_some = config_.forward_to_some;
    c.protocol.anonymous = config_.anonymous.client;
    c.protocol.pipelining = config_.client_smtp.pipelining;
    c.protocol.smtputf8_strict = config_.client_smtp.smtputf8_strict;
    c.protocol.eightbit_strict = config_.client_smtp.eightbit_strict;
    c.protocol.binarymime_strict = config_.client_smtp.binarymime_strict;
    if (!config_.client_interface.empty()) {
        auto from = net::parse_local_interface(config_.client_interface);
        if (from.has_error())
            return from.error();
        c.from = *from;
    }
    c.connection_timeout = seconds(config_.connection_timeout);
    c.response_timeout = seconds(config_.response_timeout);
    c.prompt_timeout = seconds(config_.prompt_timeout);
    s.poll = std::chrono::milliseconds(config_.poll_milliseconds);
    c.linger = config_.client_smtp.linger;
    return s;
}

void relay_instance::start(net::worker_group& workers,
                           std::function<void(const relay::run_outcome&)> client_ended) {
    if (config_.serve_smtp) {
        relay::smtp_services services{.store = *store_, .work = work_};
        if (config_.immediate && forwarding_)
            services.immediate = &*forwarding_;
        if (config_.forward_on_disconnect && forwarding_)
            services.connection_closed = [this] {
                forwarder_->request(relay::run_reason::client_disconnect);
            };
        if (config_.dnsbl) {
            dnsbl_ = std::make_unique<net::dnsbl>(dnsbl_settings(*config_.dnsbl), log_);
            services.dnsbl = dnsbl_.get();
        }
        server_ = std::make_unique<relay::smtp_server>(server_settings(), std::move(services), workers, log_);
    }
    if (forwarding_) {
        log_.with_unit_always().verbose("forwarding to {}", config_.forward_to);
        // The last worker: the first one also accepts.
        forwarder_ = std::make_unique<relay::forwarder>(*forwarding_, *store_, work_,
                                                        workers[workers.size() - 1], log_);
        forwarder_stopped_ = false;
        if (config_.client_mode)
            forwarder_->run_ended = std::move(client_ended);
        forwarder_->start();
        if (config_.forward_at_start)
            forwarder_->request(relay::run_reason::startup);
        else
            forwarder_->check_name();
    }
    if (server_)
        server_->at_the_door().listen(std::move(listeners_));
    if (interfaces_)
        interfaces_->follow(
            [this](net::listener l) { server_->at_the_door().add_listener(std::move(l)); },
            [this](const net::endpoint& where) { server_->at_the_door().remove_listener(where); });
}

void relay_instance::stop() {
    if (interfaces_)
        interfaces_->stop();
    if (server_) {
        server_->at_the_door().stop_listening();
        server_->at_the_door().stop_sessions();
    }
    if (forwarder_)
        forwarder_->stop([this] { forwarder_stopped_ = true; });
}

bool relay_instance::stopped() const {
    return forwarder_stopped_ && (!server_ || server_->at_the_door().sessions() == 0);
}

void relay_instance::cut_short() {
    if (forwarder_)
        forwarder_->cut_short();
}

void relay_instance::before_workers_go() {
    work_.drain();
    if (server_)
        server_->at_the_door().stop_listening();
    listeners_.clear();
    interfaces_.reset();
    forwarder_.reset();
}

void relay_instance::after_workers_went() {
    server_.reset();
    dnsbl_.reset();
    if (store_)
        store_->close();
    store_.reset();
}
