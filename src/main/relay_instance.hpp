// One relay of the process: its spool, its listeners and server, its forwarder; built from one
// config::instance.
//
// Made in the order of spec/process-and-logging.md section 1: bind() while the starting shell still waits,
// start() last.
#pragma once

#include "base/log.hpp"
#include "base/result.hpp"
#include "config/configuration.hpp"
#include "main/auth_setup.hpp"
#include "main/helper_processes.hpp"
#include "main/service_listeners.hpp"
#include "main/tls_setup.hpp"
#include "net/dnsbl.hpp"
#include "net/worker.hpp"
#include "os/filesystem.hpp"
#include "os/worker_pool.hpp"
#include "relay/admin_server.hpp"
#include "relay/blocking.hpp"
#include "relay/forwarder.hpp"
#include "relay/pop_server.hpp"
#include "relay/smtp_server.hpp"
#include "spool/store.hpp"

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

class relay_instance {
public:
    // `syntax_hint_given` is shared by the relays of the process: the hint is logged once. So are the
    // descriptors for sessions.
    relay_instance(const config::instance& config, os::filesystem& files, os::worker_pool& disk,
                   const helper_processes& helpers, std::shared_ptr<std::atomic<bool>> syntax_hint_given,
                   relay::descriptor_allowance& for_sessions, base::logger log);
    ~relay_instance();

    // Whether --interface says nothing about SMTP. Then sockets that the service manager has opened can take
    // the place of the default addresses: descriptors, given before prepare().
    bool takes_activation_sockets() const;
    void use_activation_sockets(std::vector<int> sockets) { activation_sockets_ = std::move(sockets); }

    // Reads keys and certificates. Before configure().
    base::result<void> open_tls(tls_setup& shared) { return tls_.open(config_, shared, log_); }

    // Builds what the configuration describes and checks the files that it names; opens no socket and changes
    // nothing. Enough for --check-config, and the first step of prepare().
    base::result<void> configure();
    // The same, and opens what can fail: listening sockets.
    base::result<void> prepare(net::worker_group& workers);
    // Opens the spool, with recovery; threads exist from here on.
    base::result<void> open_spool();
    // `terminate` is called on any thread when an administrator says so.
    void start(net::worker_group& workers, std::function<void(const relay::run_outcome&)> client_ended,
               std::function<void()> terminate);

    net::dnsbl* dnsbl() { return dnsbl_.get(); } // null without --dnsbl; there from start() on

    // What is told to administrators' connections: of one relay of the process only (spec/admin.md). Before
    // start().
    void tell_events() { notifies_ = true; }

    bool client_mode() const { return config_.client_mode; }

    // The orderly stop, in steps: no new connections and no new runs; then, when patience is at an end,
    // cut_short().
    void stop();
    bool stopped() const;
    void cut_short();

    // What hangs on the event loops goes before them, what their suspended coroutines use goes after them.
    void before_workers_go();
    void after_workers_went();

private:
    base::result<void> bind(net::worker_group& workers);
    relay::reception_settings door_settings() const;
    void configure_filters();
    void start_forwarding();
    relay::smtp_server_settings server_settings() const;
    relay::pop_server_settings pop_settings() const;
    relay::admin_server_settings admin_settings() const;
    relay::admin_services admin_services(net::worker_group& workers, std::function<void()> terminate);
    std::vector<relay::reception*> doors() const; // of the servers that there are
    base::result<relay::forwarder_settings> forwarder_settings();

    config::instance config_;
    os::filesystem& files_;
    os::worker_pool& disk_;
    const helper_processes& helpers_;
    std::shared_ptr<std::atomic<bool>> syntax_hint_given_;
    relay::descriptor_allowance& for_sessions_;
    base::logger log_;
    relay::blocking work_;
    instance_tls tls_;
    auth_setup auth_;
    os::worker_pool lookup_threads_; // of account:
    net::background lookups_;
    std::vector<int> activation_sockets_;
    service_listeners smtp_listeners_, pop_listeners_, admin_listeners_;
    bool notifies_ = false;
    relay::counters counts_;
    relay::observer watch_;
    relay::filter_settings filters_;
    relay::verifier_settings verifier_;
    std::optional<relay::forwarder_settings> forwarding_;
    std::unique_ptr<spool::store> store_;
    std::unique_ptr<net::dnsbl> dnsbl_;
    std::unique_ptr<relay::smtp_server> server_;
    std::unique_ptr<relay::pop_server> pop_;
    std::unique_ptr<relay::admin_server> admin_;
    std::unique_ptr<relay::forwarder> forwarder_;
    std::atomic<bool> forwarder_stopped_{true};
};
