#include "main/relay_instance.hpp"

#include "main/dnsbl_setup.hpp"
#include "main/filter_setup.hpp"
#include "main/verifier_setup.hpp"

#include "base/text.hpp"
#include "mail/idn.hpp"
#include "mail/next_hop.hpp"
#include "os/machine.hpp"
#include "os/process.hpp"
#include "spool/mailbox.hpp"

#include <algorithm>

using std::chrono::seconds;

namespace {

// With --max-auth-line=0: what is unfinished is held in memory.
constexpr std::size_t longest_pop_line = 80'000;

// Interface items that concern a service.
std::vector<std::string> addresses_for(const config::instance& config,
                                       config::interface_item::service which) {
    std::vector<std::string> out;
    for (const config::interface_item& item : config.interfaces)
        if (item.what == config::interface_item::service::all || item.what == which)
            out.push_back(item.address);
    return out;
}

// A port that is not a number counts as the default (spec/command-line.md section 3.1).
base::result<std::uint16_t> port_number(const std::string& text, std::uint16_t normally) {
    auto number = base::to_number(text);
    if (!number)
        return normally;
    if (*number > 65535)
        return base::error{{}, "address error: port number too big"};
    return static_cast<std::uint16_t>(*number);
}

// For a login that PAM checks.
std::size_t descriptors_for_login(const std::string& secrets) {
    constexpr std::size_t output_and_end = 2;
    return secrets == "pam:" ? output_and_end : 0;
}

// What a session's filters, verifier and next hop may need besides its socket; its login comes before.
std::size_t descriptors_for_helpers(const config::instance& config) {
    constexpr std::size_t socket_content_and_lock = 3;
    std::size_t count = descriptors_of(config.filters);
    if (config.verifier)
        count += descriptors_of(*config.verifier);
    if (config.immediate)
        count += socket_content_and_lock + descriptors_of(config.client_filters);
    return std::max(count, descriptors_for_login(config.server_auth));
}

// A session has its socket, one in three also a content file; and what helps it.
std::size_t thirds_for_session(std::size_t others) {
    return 4 + 3 * others;
}

constexpr std::size_t administrators_kept_room_for = 8;

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

smtp::tls_mode mode_of(const config::tls_side& given) {
    if (given.implicit)
        return smtp::tls_mode::implicit;
    return given.starttls ? smtp::tls_mode::starttls : smtp::tls_mode::none;
}

// Account data bases may be far away: that must not hold up the disk's threads.
std::size_t threads_for_lookups(const config::instance& config) {
    constexpr std::size_t some = 4;
    bool needed = config.verifier && config.verifier->what == config::verifier_specification::kind::account;
    return needed ? some : 0;
}

// What is in the spool directory is asked for with each connection or message, not once in a while.
bool looks_often_into_spool(const config::instance& config) {
    auto copies = [](const config::filter_specification& filter) {
        return filter.what == config::filter_specification::kind::copy;
    };
    return !config.forward_to.empty() || (config.pop && config.pop->by_name) ||
           std::any_of(config.filters.begin(), config.filters.end(), copies);
}

} // namespace

relay_instance::relay_instance(const config::instance& config, os::filesystem& files, os::worker_pool& disk,
                               const helper_processes& helpers,
                               std::shared_ptr<std::atomic<bool>> syntax_hint_given,
                               relay::descriptor_allowance& for_sessions, base::logger log)
    : config_(config), files_(files), disk_(disk), helpers_(helpers),
      syntax_hint_given_(std::move(syntax_hint_given)), for_sessions_(for_sessions), log_(std::move(log)),
      work_(disk), auth_(work_, helpers_.pam, log_), lookup_threads_("accounts", threads_for_lookups(config)),
      lookups_(lookup_threads_), smtp_listeners_("smtp", log_), pop_listeners_("pop", log_),
      admin_listeners_("admin", log_) {
    config_.domain = domain_of(config_);
}

relay_instance::~relay_instance() = default;

bool relay_instance::takes_activation_sockets() const {
    return config_.serve_smtp && addresses_for(config_, config::interface_item::service::smtp).empty();
}

void relay_instance::configure_filters() {
    filters_ = filter_settings_of(config_.filters, config_, helpers_.programs, log_);
    if (config_.verifier) {
        verifier_.make = verifier_of(*config_.verifier, helpers_.programs);
        verifier_.timeout = seconds(config_.filter_timeout);
        verifier_.lookups = &lookups_;
    }
}

base::result<void> relay_instance::configure() {
    configure_filters();
    if (auto read = auth_.prepare(config_); read.has_error())
        return read.error();
    if (!config_.forward_to.empty()) {
        auto settings = forwarder_settings();
        if (settings.has_error())
            return settings.error();
        forwarding_.emplace(std::move(*settings));
    }
    return {};
}

base::result<void> relay_instance::prepare(net::worker_group& workers) {
    if (auto configured = configure(); configured.has_error())
        return configured.error();
    return bind(workers);
}

base::result<void> relay_instance::bind(net::worker_group& workers) {
    using enum config::interface_item::service;
    if (config_.serve_smtp) {
        auto port = port_number(config_.port, 25);
        if (port.has_error())
            return port.error();
        std::vector<std::string> items = addresses_for(config_, smtp);
        for (int socket : activation_sockets_)
            items.push_back("fd#" + std::to_string(socket));
        if (auto opened = smtp_listeners_.open(workers[0], items, *port); opened.has_error())
            return opened;
    }
    if (config_.pop) {
        auto port = port_number(config_.pop->port, 110);
        if (port.has_error())
            return port.error();
        auto opened = pop_listeners_.open(workers[0], addresses_for(config_, pop), *port);
        if (opened.has_error())
            return opened;
    }
    if (config_.admin) {
        auto port = port_number(config_.admin->port, 0);
        if (port.has_error())
            return port.error();
        return admin_listeners_.open(workers[0], addresses_for(config_, admin), *port);
    }
    return {};
}

base::result<void> relay_instance::open_spool() {
    spool::settings settings;
    settings.directory = config_.spool_dir;
    settings.sync = config_.sync;
    settings.watch = looks_often_into_spool(config_);
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
    s.protocol.tls = mode_of(config_.server_tls);
    s.protocol.tls_required = config_.server_tls.required;
    s.protocol.pipelining = config_.server_smtp.pipelining;
    s.protocol.chunking = config_.server_smtp.chunking;
    s.protocol.smtputf8 = config_.server_smtp.smtputf8;
    s.protocol.smtputf8_strict = config_.server_smtp.smtputf8_strict;
    s.protocol.strict_parsing = config_.server_smtp.strict_parsing;
    s.protocol.a_labels = config_.server_smtp.a_labels;
    s.protocol.max_command_line = config_.limits.command_line;
    s.protocol.max_auth_line = config_.limits.auth_line;
    s.protocol.max_recipients = config_.limits.recipients;
    s.protocol.max_hops = config_.limits.hops;
    s.protocol.max_errors = config_.limits.errors;
    s.protocol.max_other_errors = config_.limits.other_errors;
    s.protocol.max_idle_commands = config_.limits.idle_commands;
    s.protocol.max_pending_replies = config_.limits.pending_replies;
    s.linger = config_.server_smtp.linger;
    s.idle_timeout = seconds(config_.idle_timeout);
    s.command_timeout = seconds(config_.limits.command_seconds);
    s.data_rate = config_.limits.data_rate;
    s.door = door_settings();
    s.door.descriptor_thirds = thirds_for_session(descriptors_for_helpers(config_));
    return s;
}

relay::reception_settings relay_instance::door_settings() const {
    relay::reception_settings s;
    s.remote_clients = config_.remote_clients;
    s.max_sessions = config_.limits.sessions;
    s.max_sessions_per_address = config_.limits.sessions_per_address;
    s.descriptors = &for_sessions_;
    s.leaving_thirds = config_.admin ? administrators_kept_room_for * thirds_for_session(0) : 0;
    return s;
}

relay::pop_server_settings relay_instance::pop_settings() const {
    relay::pop_server_settings s;
    s.protocol.stls = config_.server_tls.enabled();
    s.protocol.tls_required = config_.server_tls.required;
    s.protocol.max_command_line = config_.limits.command_line;
    s.protocol.max_auth_line = config_.limits.auth_line != 0
                                   ? std::max(config_.limits.auth_line, config_.limits.command_line)
                                   : longest_pop_line;
    s.protocol.max_errors = config_.limits.other_errors;
    s.door = door_settings();
    const std::size_t directory_of_user = config_.pop->by_name ? 1 : 0;
    s.door.descriptor_thirds =
        thirds_for_session(std::max(directory_of_user, descriptors_for_login(config_.pop_auth)));
    s.domain = config_.domain;
    s.by_name = config_.pop->by_name;
    s.may_delete = config_.pop->may_delete;
    s.tls_from_the_start = config_.pop->tls_from_the_start;
    s.idle_timeout = seconds(config_.idle_timeout);
    s.command_timeout = seconds(config_.limits.command_seconds);
    return s;
}

relay::admin_server_settings relay_instance::admin_settings() const {
    relay::admin_server_settings s;
    s.protocol.version = EMAILRELAY_VERSION;
    s.protocol.process_id = os::process_id();
    s.protocol.may_terminate = config_.admin->may_terminate;
    s.protocol.can_forward = forwarding_.has_value();
    if (config_.limits.command_line != 0)
        s.protocol.max_command_line = config_.limits.command_line;
    s.door = door_settings();
    s.door.leaving_thirds = 0;
    return s;
}

relay::admin_services relay_instance::admin_services(net::worker_group& workers,
                                                     std::function<void()> terminate) {
    relay::admin_services services{*store_,
                                   work_,
                                   workers.activity(),
                                   watch_,
                                   forwarding_ ? &*forwarding_ : nullptr,
                                   [this] { forwarder_->request(relay::run_reason::admin); },
                                   {},
                                   {},
                                   std::move(terminate)};
    if (server_)
        services.enable_smtp = [this](bool on) {
            server_->enable(on);
        };
    if (dnsbl_)
        services.switch_dnsbl = [this](bool on, seconds off_for) {
            if (on)
                dnsbl_->start();
            else
                dnsbl_->stop(off_for);
        };
    return services;
}

base::result<relay::forwarder_settings> relay_instance::forwarder_settings() {
    relay::forwarder_settings s;
    auto to = mail::parse_next_hop(config_.forward_to);
    if (to.has_error())
        return base::error{{}, "forwarding failure: " + to.error().message()};
    s.to = *to;
    relay::client_session_settings& c = s.client;
    c.logins = auth_.client();
    c.protocol.helo_name = config_.domain;
    c.protocol.max_reply_line = config_.limits.response_line;
    c.protocol.max_reply_lines = config_.limits.response_lines;
    c.protocol.forward_to_some = config_.forward_to_some;
    c.protocol.anonymous = config_.anonymous.client;
    c.protocol.tls = mode_of(config_.client_tls);
    c.protocol.tls_required = config_.client_tls.required;
    if (auto tls = tls_.client())
        c.tls.emplace(*tls);
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
    s.connections = config_.forward_connections;
    s.filters = filter_settings_of(config_.client_filters, config_, helpers_.programs, log_);
    c.linger = config_.client_smtp.linger;
    return s;
}

void relay_instance::start(net::worker_group& workers,
                           std::function<void(const relay::run_outcome&)> client_ended,
                           std::function<void()> terminate) {
    watch_ = {&counts_, notifies_ ? &workers.activity().events : nullptr};
    if (config_.serve_smtp) {
        relay::smtp_services services{.store = *store_, .work = work_};
        services.watch = watch_;
        if (auto tls = tls_.server())
            services.tls.emplace(*tls);
        services.logins = auth_.smtp();
        if (config_.immediate && forwarding_)
            services.immediate = &*forwarding_;
        if (!filters_.makers.empty())
            services.filters = &filters_;
        if (verifier_.make)
            services.verifier = &verifier_;
        if (forwarding_)
            services.rescan = [this] {
                forwarder_->request(relay::run_reason::rescan);
            };
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
        // The last worker: the first one also accepts.
        forwarder_ = std::make_unique<relay::forwarder>(*forwarding_, *store_, work_,
                                                        workers[workers.size() - 1], log_, watch_);
        if (config_.client_mode)
            forwarder_->run_ended = std::move(client_ended);
    }
    if (config_.pop) {
        relay::pop_services services{
            .store = *store_, .work = work_, .logins = *auth_.pop(), .watch = watch_};
        if (auto tls = tls_.server())
            services.tls.emplace(*tls);
        log_.summary("pop server authentication secrets from \"{}\"", base::printable(config_.pop_auth));
        pop_ = std::make_unique<relay::pop_server>(pop_settings(), std::move(services), workers, log_);
        if (config_.pop->by_name)
            for (const std::string& name : spool::inaccessible_mailboxes(*store_))
                log_.warning("pop-by-name sub-directory [{}] is not accessible", base::printable(name));
    }
    if (config_.admin)
        admin_ = std::make_unique<relay::admin_server>(
            admin_settings(), admin_services(workers, std::move(terminate)), workers, log_);
    if (server_)
        smtp_listeners_.hand_to(server_->at_the_door());
    if (pop_)
        pop_listeners_.hand_to(pop_->at_the_door());
    if (admin_)
        admin_listeners_.hand_to(admin_->at_the_door());
    if (forwarder_)
        start_forwarding();
}

void relay_instance::start_forwarding() {
    log_.with_unit_always().verbose("forwarding to {}", config_.forward_to);
    forwarder_stopped_ = false;
    forwarder_->start();
    if (config_.forward_at_start)
        forwarder_->request(relay::run_reason::startup);
    else
        forwarder_->check_name();
}

std::vector<relay::reception*> relay_instance::doors() const {
    std::vector<relay::reception*> all;
    if (server_)
        all.push_back(&server_->at_the_door());
    if (pop_)
        all.push_back(&pop_->at_the_door());
    if (admin_)
        all.push_back(&admin_->at_the_door());
    return all;
}

void relay_instance::stop() {
    smtp_listeners_.stop_following();
    pop_listeners_.stop_following();
    admin_listeners_.stop_following();
    for (relay::reception* door : doors()) {
        door->stop_listening();
        door->stop_sessions();
    }
    if (forwarder_)
        forwarder_->stop([this] { forwarder_stopped_ = true; });
}

bool relay_instance::stopped() const {
    auto all = doors();
    return forwarder_stopped_ &&
           std::all_of(all.begin(), all.end(), [](const auto* door) { return door->sessions() == 0; });
}

void relay_instance::cut_short() {
    if (forwarder_)
        forwarder_->cut_short();
    if (admin_)
        admin_->cut_short();
}

void relay_instance::before_workers_go() {
    work_.drain();
    lookups_.drain();
    for (relay::reception* door : doors())
        door->stop_listening();
    smtp_listeners_.clear();
    pop_listeners_.clear();
    admin_listeners_.clear();
    forwarder_.reset();
}

void relay_instance::after_workers_went() {
    admin_.reset();
    pop_.reset();
    server_.reset();
    dnsbl_.reset();
    if (store_)
        store_->close();
    store_.reset();
}
