#include "os/socket_activation.hpp"

#include "base/text.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <string>

namespace os {

namespace {

constexpr int first_descriptor = 3;
constexpr std::uint64_t most = 1024;

std::uint64_t take_number(const char* variable) {
    const char* text = std::getenv(variable);
    std::uint64_t value = text ? base::to_number(text).value_or(0) : 0;
    ::unsetenv(variable);
    return value;
}

} // namespace

base::result<std::vector<int>> take_activation_sockets() {
    const std::uint64_t pid = take_number("LISTEN_PID");
    const std::uint64_t count = take_number("LISTEN_FDS");
    ::unsetenv("LISTEN_FDNAMES");
    std::vector<int> out;
    if (pid != static_cast<std::uint64_t>(::getpid()) || count > most)
        return out;
    for (int fd = first_descriptor; out.size() < count; ++fd) {
        if (::fcntl(fd, F_SETFD, FD_CLOEXEC) != 0)
            return base::last_error("socket activation: fd " + std::to_string(fd));
        out.push_back(fd);
    }
    return out;
}

} // namespace os
