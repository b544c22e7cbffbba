// The SMTP server: takes connections and drives one engine for each (spec/smtp-server.md).
//
// Sessions live on the network threads; the server object is made and stopped on the main thread.
#pragma once

#include "base/log.hpp"
#include "net/listener.hpp"
#include "net/worker.hpp"
#include "relay/blocking.hpp"
#include "relay/forwarder.hpp"
#include "smtp/server_engine.hpp"
#include "spool/store.hpp"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

namespace relay {

struct smtp_server_settings {
    smtp::server_settings protocol;
    bool remote_clients = false;
    bool linger = true;                        // --server-smtp-config=nolinger clears it
    std::chrono::seconds idle_timeout{1800};   // 0 = none
    std::chrono::seconds command_timeout{300}; // one command, begun and not finished; 0 = none
    std::uint64_t data_rate = 500; // octets a second that DATA must reach after the first minute; 0 = none
    std::size_t max_sessions = 10'000; // 0 = none
    std::size_t max_sessions_per_address = 1000;
};

// What sessions use; outlives them.
struct smtp_services {
    spool::store& store;
    blocking& work;
    const forwarder_settings* immediate = nullptr; // --immediate: where to; else null
    std::function<void()> connection_closed;       // thread-safe; after each session
    std::optional<net::tls_service> tls{};         // there whenever the protocol settings ask for TLS
};

// Who is connected, against the limits. Thread-safe.
class session_table {
public:
    session_table(std::size_t in_all, std::size_t per_address) : in_all_(in_all), per_address_(per_address) {}
    bool enter(const std::string& address); // false: too many
    void leave(const std::string& address);
    std::size_t size() const;

private:
    const std::size_t in_all_;
    const std::size_t per_address_;
    mutable std::mutex mutex_;
    std::size_t count_ = 0;
    std::map<std::string, std::size_t> by_address_;
};

class smtp_session;

class smtp_server {
public:
    smtp_server(smtp_server_settings settings, smtp_services services, net::worker_group& workers,
                base::logger log);
    ~smtp_server();

    void listen(std::vector<net::listener> listeners); // logs "smtp server on A" for each
    void add_listener(net::listener one);              // "new smtp server on A"
    void remove_listener(const net::endpoint& where);  // "deleting smtp server on A"; its sessions go on
    void stop_listening();

    // Sessions finish the command in hand, answer 421 and close. Any thread.
    void stop_sessions();
    std::size_t sessions() const { return table_.size(); }

private:
    friend class smtp_session;

    void accept_from(net::listener& one);
    void connected(net::worker& on, net::stream peer);
    net::awaitable<void> serve(net::worker& on, net::stream peer);

    // The sessions of one worker; used on its thread.
    struct present {
        std::vector<smtp_session*> sessions;
    };
    present& present_on(net::worker& on);

    smtp_server_settings settings_;
    smtp_services services_;
    net::worker_group& workers_;
    base::logger log_;
    session_table table_;
    std::atomic<bool> stopping_{false};
    std::vector<present> present_; // by worker
    std::vector<net::listener> listeners_;
};

} // namespace relay
