// The POP3 server: takes connections and drives one pop::server_engine for each (spec/pop-server.md).
//
// Sessions live on the network threads; mailboxes are listed, read and emptied on the disk threads.
#pragma once

#include "base/log.hpp"
#include "net/worker.hpp"
#include "pop/server_engine.hpp"
#include "relay/blocking.hpp"
#include "relay/observer.hpp"
#include "relay/reception.hpp"
#include "relay/server_authentication.hpp"
#include "spool/store.hpp"

#include <chrono>
#include <optional>
#include <string>

namespace relay {

struct pop_server_settings {
    pop::server_settings protocol;
    reception_settings door;
    std::string domain;
    bool tls_from_the_start = false;           // --pop-tls-connection
    bool by_name = false;                      // --pop-by-name
    bool may_delete = true;                    // --pop-no-delete clears it
    std::chrono::seconds idle_timeout{1800};   // 0 = none
    std::chrono::seconds command_timeout{300}; // one line, begun and not finished; 0 = none
};

// What sessions use; outlives them.
struct pop_services {
    spool::store& store;
    blocking& work;
    server_authentication& logins;
    std::optional<net::tls_service> tls{}; // there whenever the protocol settings say so
    observer watch{};
};

class pop_session;

class pop_server {
public:
    pop_server(pop_server_settings settings, pop_services services, net::worker_group& workers,
               base::logger log);

    reception& at_the_door() noexcept { return reception_; }

private:
    friend class pop_session;

    net::awaitable<void> serve(net::worker& on, net::stream peer);

    pop_server_settings settings_;
    pop_services services_;
    base::logger log_;
    reception reception_;
};

} // namespace relay
