// Signals that end or stop the process wait while the terminal shows nothing: they are seen coming, and are
// let through when it is as it was.
#include "os/terminal.hpp"

#include "os/child_process.hpp"

#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

namespace os {

namespace {

// No echo while it lives.
class hidden_input {
public:
    explicit hidden_input(const char* prompt)
        : prompt_(prompt), active_(::tcgetattr(STDIN_FILENO, &before_) == 0) {
        if (!active_)
            return;
        sigemptyset(&waiting_);
        for (int number : {SIGINT, SIGTERM, SIGQUIT, SIGHUP, SIGTSTP})
            sigaddset(&waiting_, number);
        signals_ = descriptor(::signalfd(-1, &waiting_, SFD_CLOEXEC | SFD_NONBLOCK));
        hide();
    }
    ~hidden_input() {
        if (active_)
            show();
    }
    hidden_input(const hidden_input&) = delete;
    hidden_input& operator=(const hidden_input&) = delete;

    // Until there is something to be read. False if a signal came first that did not end the process: it may
    // have stood still, and has asked again.
    bool wait() {
        pollfd either[] = {{STDIN_FILENO, POLLIN, 0}, {signals_.number(), POLLIN, 0}};
        if (!active_ || ::poll(either, 2, -1) < 0 || either[1].revents == 0)
            return true;
        show();
        hide();
        return false;
    }

private:
    void hide() {
        if (signals_.number() >= 0) // or nobody would see them coming
            pthread_sigmask(SIG_BLOCK, &waiting_, &mask_before_);
        termios silent = before_;
        silent.c_lflag &= ~static_cast<tcflag_t>(ECHO);
        ::tcsetattr(STDIN_FILENO, TCSAFLUSH, &silent);
        // Only now: what is typed as soon as the prompt is there must not be thrown away.
        std::fputs(prompt_, stderr);
    }

    void show() {
        ::tcsetattr(STDIN_FILENO, TCSAFLUSH, &before_);
        std::fputc('\n', stderr);
        if (signals_.number() >= 0)
            pthread_sigmask(SIG_SETMASK, &mask_before_, nullptr);
    }

    const char* prompt_;
    termios before_{};
    bool active_; // there is a terminal
    sigset_t waiting_{}, mask_before_{};
    descriptor signals_; // readable when one of those has come; never read, so that it stays
};

} // namespace

base::secret_text read_hidden_line(const char* prompt) {
    hidden_input hide(prompt);
    base::secret_text line;
    for (char c = 0; c != '\n';) { // octet by octet: what follows is not ours
        if (!hide.wait()) {
            line.clear();
            continue;
        }
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
