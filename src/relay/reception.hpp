// What the servers for SMTP, POP and administration have in common: listeners, who is let in, who is there,
// and the orderly stop.
//
// Sessions live on the network threads; listeners are added and removed on the main thread.
#pragma once

#include "base/log.hpp"
#include "net/listener.hpp"
#include "net/worker.hpp"

#include <atomic>
#include <cstddef>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

namespace relay {

// What a protocol's clients and log readers see of it here.
struct protocol_words {
    std::string_view name;     // as log lines have it: "smtp"
    std::string_view too_many; // said to those who are one too many
};

// Descriptors for the sessions of all servers of the process together: each server alone could be within its
// limit and the next file still not to be opened. In thirds of a descriptor, as not every session has a file
// open. Thread-safe.
class descriptor_allowance {
public:
    explicit descriptor_allowance(std::size_t descriptors) : thirds_(descriptors * 3) {}

    // False, and nothing taken, if fewer than `leaving` would be left.
    bool take(std::size_t thirds, std::size_t leaving) noexcept;
    void give_back(std::size_t thirds) noexcept { thirds_ += thirds; }

private:
    std::atomic<std::size_t> thirds_;
};

struct reception_settings {
    bool remote_clients = false;
    std::size_t max_sessions = 10'000; // 0 = none
    std::size_t max_sessions_per_address = 1000;
    descriptor_allowance* descriptors = nullptr; // outlives the sessions; null = not counted
    std::size_t descriptor_thirds = 4;           // what a session may need on average
    std::size_t leaving_thirds = 0;              // for sessions at other doors
};

// Who is connected, against the limits. Thread-safe.
class session_table {
public:
    explicit session_table(const reception_settings& settings) : settings_(settings) {}
    bool enter(const std::string& address); // false: too many
    void leave(const std::string& address);
    std::size_t size() const;

private:
    const reception_settings settings_;
    mutable std::mutex mutex_;
    std::size_t count_ = 0;
    std::map<std::string, std::size_t> by_address_;
};

class reception {
public:
    // Serves one connection to its end. The stream is the session's own.
    using serve_function = std::function<net::awaitable<void>(net::worker&, net::stream)>;

    // The words live as long as the program.
    reception(protocol_words words, const reception_settings& settings, net::worker_group& workers,
              base::logger log, serve_function serve);

    void listen(std::vector<net::listener> listeners); // logs "smtp server on A" for each
    void add_listener(net::listener one);              // "new smtp server on A"
    void remove_listener(const net::endpoint& where);  // "deleting smtp server on A"; its sessions go on
    void stop_listening();

    // Every session present is interrupted; stopping() is true from now on. Any thread.
    void stop_sessions();
    bool stopping() const noexcept { return stopping_; }
    std::size_t sessions() const { return table_.size(); }

    // A session that can be interrupted, for as long as it lives. Used on its worker's thread.
    class guest {
    public:
        guest(reception& host, net::worker& on);
        virtual ~guest();
        guest(const guest&) = delete;
        guest& operator=(const guest&) = delete;
        virtual void interrupt() = 0; // stop waiting for the peer, see stopping()

    private:
        std::vector<guest*>& present_;
    };

private:
    void accept_from(net::listener& one);
    void connected(net::worker& on, net::stream peer);
    net::awaitable<void> serve(net::worker& on, net::stream peer);

    const protocol_words words_;
    const bool remote_clients_;
    net::worker_group& workers_;
    base::logger log_;
    serve_function serve_;
    session_table table_;
    std::atomic<bool> stopping_{false};
    std::vector<std::vector<guest*>> guests_; // by index of the worker; used on its thread
    std::vector<net::listener> listeners_;
};

} // namespace relay
