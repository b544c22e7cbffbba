#include "os/service_manager.hpp"

#include "base/text.hpp"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>

namespace os {

namespace {

std::string take(const char* variable) {
    const char* value = std::getenv(variable);
    std::string text = value ? value : "";
    ::unsetenv(variable);
    return text;
}

} // namespace

service_manager::service_manager() : path_(take("NOTIFY_SOCKET")) {
    const auto period = base::to_number(take("WATCHDOG_USEC"));
    const std::string watched = take("WATCHDOG_PID"); // an ancestor may have been meant
    const bool usable =
        (path_.starts_with('/') || path_.starts_with('@')) && path_.size() < sizeof sockaddr_un::sun_path;
    if (!usable)
        return;
    socket_ = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (period && *period != 0 && *period <= INT64_MAX &&
        (watched.empty() || watched == std::to_string(::getpid())))
        watchdog_ = std::chrono::microseconds(static_cast<std::int64_t>(*period));
}

service_manager::~service_manager() {
    if (socket_ >= 0)
        ::close(socket_);
}

void service_manager::ready() {
    send("READY=1\nMAINPID=" + std::to_string(::getpid()));
}

void service_manager::stopping() {
    send("STOPPING=1");
}

void service_manager::alive() {
    send("WATCHDOG=1");
}

void service_manager::send(std::string_view text) {
    if (socket_ < 0)
        return;
    sockaddr_un to{};
    to.sun_family = AF_UNIX;
    std::memcpy(to.sun_path, path_.data(), path_.size());
    if (path_.front() == '@') // in the abstract name space
        to.sun_path[0] = '\0';
    // The address as an unspecific one: the call wants it so.
    const void* address = &to;
    const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path_.size());
    (void)::sendto(socket_, text.data(), text.size(), MSG_NOSIGNAL, static_cast<const sockaddr*>(address),
                   size);
}

} // namespace os
