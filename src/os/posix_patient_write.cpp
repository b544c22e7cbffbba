#include "os/patient_write.hpp"

#include "os/poll_time.hpp"

#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <climits>

namespace os {

namespace {

using clock = std::chrono::steady_clock;

// False: there is no room before that time.
bool wait_for_room(int fd, clock::time_point limit) {
    for (;;) {
        pollfd one{fd, POLLOUT, 0};
        const int ready = ::poll(&one, 1, poll_time(limit));
        if (ready >= 0)
            return ready > 0;
        if (errno != EINTR)
            return false;
    }
}

} // namespace

std::size_t write_patiently(int fd, std::string_view text,
                            std::optional<std::chrono::milliseconds> patience) {
    const auto limit = patience ? clock::now() + *patience : no_limit;
    std::size_t done = 0;
    while (done < text.size()) {
        std::string_view piece = text.substr(done);
        if (patience) { // so much a pipe takes without waiting once it is ready
            piece = piece.substr(0, PIPE_BUF);
            if (!wait_for_room(fd, limit))
                break;
        }
        const ssize_t n = ::write(fd, piece.data(), piece.size());
        if (n > 0) {
            done += static_cast<std::size_t>(n);
            continue;
        }
        const bool interrupted = n < 0 && errno == EINTR;
        const bool full = n < 0 && errno == EAGAIN;
        if (!interrupted && !(full && wait_for_room(fd, limit)))
            break;
    }
    return done;
}

void write_to_stderr(std::string_view text) {
    write_patiently(STDERR_FILENO, text, std::chrono::seconds(5));
}

} // namespace os
