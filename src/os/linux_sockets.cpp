#include "os/sockets.hpp"

#include <poll.h>

namespace os {

bool peer_has_closed(int socket) noexcept {
    pollfd about{};
    about.fd = socket;
    about.events = POLLRDHUP;
    return ::poll(&about, 1, 0) > 0 && (about.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
}

} // namespace os
