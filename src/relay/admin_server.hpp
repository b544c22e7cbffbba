// The admin server: takes connections and drives one admin::server_engine for each (spec/admin.md).
//
// Sessions live on the network threads. There is no authentication: who may connect is a matter of the
// listening address, or of the permissions of a unix-domain socket.
#pragma once

#include "admin/server_engine.hpp"
#include "base/log.hpp"
#include "net/worker.hpp"
#include "relay/blocking.hpp"
#include "relay/forwarder.hpp"
#include "relay/observer.hpp"
#include "relay/reception.hpp"
#include "spool/store.hpp"

#include <atomic>
#include <chrono>
#include <functional>
#include <string>

namespace relay {

struct admin_server_settings {
    admin::server_settings protocol;
    reception_settings door;
};

// What sessions use; outlives them. Functions are thread-safe.
struct admin_services {
    spool::store& store;
    blocking& work;
    net::activity& network;
    observer watch;                                 // its events go to those who ask for them
    const forwarder_settings* forwarding = nullptr; // null without --forward-to
    std::function<void()> forward;                  // asks for a run
    std::function<void(bool on)> enable_smtp;       // may be missing, as the next one
    std::function<void(bool on, std::chrono::seconds off_for)> switch_dnsbl;
    std::function<void()> terminate;
};

class admin_session;

class admin_server {
public:
    admin_server(admin_server_settings settings, admin_services services, net::worker_group& workers,
                 base::logger log);

    // Listeners and the stop: a flush finishes the message in hand. With cut_short() it unlocks it at once.
    reception& at_the_door() noexcept { return reception_; }
    void cut_short();

private:
    friend class admin_session;

    net::awaitable<void> serve(net::worker& on, net::stream peer);

    admin_server_settings settings_;
    admin_services services_;
    base::logger log_;
    std::atomic<bool> cut_short_{false};
    reception reception_;
};

} // namespace relay
