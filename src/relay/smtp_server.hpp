// The SMTP server: takes connections and drives one engine for each (spec/smtp-server.md).
//
// Sessions live on the network threads; the server object is made and stopped on the main thread.
#pragma once

#include "base/log.hpp"
#include "net/dnsbl.hpp"
#include "net/worker.hpp"
#include "relay/blocking.hpp"
#include "relay/forwarder.hpp"
#include "relay/observer.hpp"
#include "relay/reception.hpp"
#include "relay/server_authentication.hpp"
#include "relay/server_filters.hpp"
#include "smtp/server_engine.hpp"
#include "spool/store.hpp"
#include "verify/verifier.hpp"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>

namespace relay {

struct smtp_server_settings {
    smtp::server_settings protocol;
    bool linger = true;                        // --server-smtp-config=nolinger clears it
    std::chrono::seconds idle_timeout{1800};   // 0 = none
    std::chrono::seconds command_timeout{300}; // one command, begun and not finished; 0 = none
    std::uint64_t data_rate = 500; // octets a second that DATA must reach after the first minute; 0 = none
    reception_settings door;
};

// What sessions use; outlives them.
// --address-verifier, for all sessions of a server.
struct verifier_settings {
    verify::maker make;               // none: every address is a valid remote one
    std::chrono::seconds timeout{60}; // 0 = none
    net::background* lookups = nullptr;
};

struct smtp_services {
    spool::store& store;
    blocking& work;
    const forwarder_settings* immediate = nullptr; // --immediate: where to; else null
    std::function<void()> connection_closed{};     // thread-safe; after each session
    observer watch{};
    std::optional<net::tls_service> tls{};       // there whenever the protocol settings ask for TLS
    net::dnsbl* dnsbl = nullptr;                 // --dnsbl; else null
    server_authentication* logins = nullptr;     // null: anybody may send
    std::function<void()> rescan = {};           // thread-safe; a filter wants the spool forwarded
    const filter_settings* filters = nullptr;    // --filter; null without
    const verifier_settings* verifier = nullptr; // --address-verifier; null without
};

class smtp_session;

class smtp_server {
public:
    smtp_server(smtp_server_settings settings, smtp_services services, net::worker_group& workers,
                base::logger log);
    ~smtp_server();

    // "smtp disable": sessions that begin meanwhile answer 421 to each MAIL. Any thread.
    void enable(bool on) noexcept { enabled_ = on; }

    // Listeners and the stop: sessions finish the command in hand, answer 421 and close.
    reception& at_the_door() noexcept { return reception_; }

private:
    friend class smtp_session;

    net::awaitable<void> serve(net::worker& on, net::stream peer);

    smtp_server_settings settings_;
    smtp_services services_;
    base::logger log_;
    std::atomic<bool> enabled_{true};
    reception reception_;
};

} // namespace relay
