#include "os/terminal.hpp"

#include <termios.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

namespace os {

namespace {

// No echo while it lives.
class hidden_input {
public:
    hidden_input() : active_(::tcgetattr(STDIN_FILENO, &before_) == 0) {
        if (!active_)
            return;
        termios silent = before_;
        silent.c_lflag &= ~static_cast<tcflag_t>(ECHO);
        ::tcsetattr(STDIN_FILENO, TCSAFLUSH, &silent);
    }
    ~hidden_input() {
        if (!active_)
            return;
        ::tcsetattr(STDIN_FILENO, TCSAFLUSH, &before_);
        std::fputc('\n', stderr);
    }
    hidden_input(const hidden_input&) = delete;
    hidden_input& operator=(const hidden_input&) = delete;

private:
    termios before_{};
    bool active_;
};

} // namespace

base::secret_text read_hidden_line(const char* prompt) {
    const hidden_input hide; // first: what is typed as soon as the prompt is there must not be thrown away
    if (::isatty(STDIN_FILENO) == 1)
        std::fputs(prompt, stderr);
    base::secret_text line;
    for (char c = 0; c != '\n';) { // octet by octet: what follows is not ours
        const ssize_t n = ::read(STDIN_FILENO, &c, 1);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        line.append(1, c);
    }
    return line;
}

} // namespace os
