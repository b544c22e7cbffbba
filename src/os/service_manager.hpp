// What a service that systemd has started tells it (sd_notify(3)): ready, stopping, still alive.
//
// The protocol is a datagram of a few words to the unix-domain socket NOTIFY_SOCKET; without that variable
// all functions do nothing. What cannot be sent is lost: nothing here may stop the service.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

namespace os {

class service_manager {
public:
    // Reads the variables NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID and takes them out of the
    // environment, so that no child has them. To be called before the process forks, and before there are
    // threads.
    service_manager();
    ~service_manager();
    service_manager(const service_manager&) = delete;
    service_manager& operator=(const service_manager&) = delete;

    // Within this time after ready(), and after each alive(), it expects to hear alive(). Nothing: it does
    // not watch.
    std::optional<std::chrono::microseconds> watchdog() const noexcept { return watchdog_; }

    void ready(); // names this process as the one that counts: it may have forked
    void stopping();
    void alive();

private:
    void send(std::string_view text);

    int socket_ = -1;
    std::string path_;
    std::optional<std::chrono::microseconds> watchdog_;
};

} // namespace os
