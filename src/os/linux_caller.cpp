#include "os/caller.hpp"

#include "base/text.hpp"
#include "os/poll_time.hpp"
#include "os/process.hpp"

#include <fcntl.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <vector>

namespace os {

namespace {

using clock = std::chrono::steady_clock;

// Those that end a process by default and can come from elsewhere.
constexpr std::array ending_signals = {SIGHUP,    SIGINT,  SIGQUIT, SIGTERM,   SIGALRM, SIGUSR1, SIGUSR2,
                                       SIGVTALRM, SIGPROF, SIGXCPU, SIGSTKFLT, SIGIO,   SIGPWR};

int signal_descriptor = -1;

bool is_being_ignored(int signal) {
    struct sigaction now {};
    return ::sigaction(signal, nullptr, &now) == 0 && now.sa_handler == SIG_IGN;
}

void stop_timers() {
    ::alarm(0);
    const itimerval none{};
    for (auto which : {ITIMER_VIRTUAL, ITIMER_PROF})
        ::setitimer(which, &none, nullptr);
}

void put_off_signals() {
    // The caller's mask does not count either: everything that is not put off gets through.
    sigset_t all;
    sigemptyset(&all);
    for (int signal : ending_signals)
        if (!is_being_ignored(signal))
            sigaddset(&all, signal);
    ::sigprocmask(SIG_SETMASK, &all, nullptr);
    ::signal(SIGPIPE, SIG_IGN);
    ::signal(SIGXFSZ, SIG_IGN); // a limit on the size of files is an error like others
    signal_descriptor = ::signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK);
}

bool has_granted_group() {
    return ::getegid() != ::getgid();
}

void give_up_granted_group() {
    const gid_t own = ::getgid();
    if (has_granted_group() && ::setresgid(own, own, own) != 0)
        ::_exit(71);
}

} // namespace

void begin_as_tool() {
    open_standard_streams();
    if (::geteuid() != ::getuid())
        if (::setresuid(::getuid(), ::getuid(), ::getuid()) != 0)
            ::_exit(71);
    ::umask(007);
    stop_timers();
    put_off_signals();
}

base::result<file> open_directory_for_caller(filesystem& files, const std::string& path) {
    auto opened = files.open_directory(path);
    struct stat about {};
    const bool known = opened.has_value() && ::fstat(opened->descriptor(), &about) == 0;
    if (has_granted_group()) {
        if (known && about.st_gid == ::getegid())
            return opened;
        give_up_granted_group();
        return files.open_directory(path);
    }
    if (known && ::geteuid() == 0 && ::setegid(about.st_gid) != 0)
        return base::last_error("setegid");
    return opened;
}

caller_stream caller_stream::standard_input() {
    return caller_stream(STDIN_FILENO, false);
}

caller_stream caller_stream::standard_output() {
    return caller_stream(STDOUT_FILENO, false);
}

base::result<caller_stream> caller_stream::open(const std::string& path) {
    const gid_t granted = ::getegid();
    if (::setegid(::getgid()) != 0)
        return base::last_error("setegid");
    // Not to wait for a FIFO's other side in open(): reading does, and lets signals through.
    int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    const int why = errno;
    if (::setegid(granted) != 0)
        ::_exit(71);
    if (fd < 0)
        return base::make_error(why, "open " + path);
    struct stat about {};
    if (::fstat(fd, &about) == 0 && S_ISDIR(about.st_mode)) {
        ::close(fd);
        return base::make_error(EISDIR, "open " + path);
    }
    return caller_stream(fd, true);
}

caller_stream::caller_stream(caller_stream&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)), owned_(other.owned_), patience_(other.patience_) {}

caller_stream::~caller_stream() {
    if (owned_ && descriptor_ >= 0)
        ::close(descriptor_);
}

base::result<void> caller_stream::wait_for(short events) {
    const auto limit = patience_ ? clock::now() + *patience_ : no_limit;
    for (;;) {
        pollfd both[] = {{descriptor_, events, 0}, {signal_descriptor, POLLIN, 0}};
        const int ready = ::poll(both, 2, poll_time(limit));
        if (ready < 0 && errno != EINTR)
            return base::last_error("poll");
        if (ready == 0)
            return base::make_error(ETIMEDOUT, "wait");
        if (ready > 0 && both[1].revents != 0)
            return base::make_error(ECANCELED, "wait");
        if (ready > 0 && both[0].revents != 0)
            return {};
    }
}

base::result<std::size_t> caller_stream::read(std::span<char> into) {
    for (;;) {
        if (auto ready = wait_for(POLLIN); ready.has_error())
            return ready.error();
        const ssize_t n = ::read(descriptor_, into.data(), into.size());
        if (n >= 0)
            return static_cast<std::size_t>(n);
        if (errno != EINTR && errno != EAGAIN)
            return base::last_error("read");
    }
}

base::result<void> caller_stream::write(std::span<const char> bytes) {
    while (!bytes.empty()) {
        if (auto ready = wait_for(POLLOUT); ready.has_error())
            return ready.error();
        // So much a pipe takes without waiting once it is ready.
        const auto part = bytes.first(std::min<std::size_t>(bytes.size(), PIPE_BUF));
        const ssize_t n = ::write(descriptor_, part.data(), part.size());
        if (n >= 0)
            bytes = bytes.subspan(static_cast<std::size_t>(n));
        else if (errno != EINTR && errno != EAGAIN)
            return base::last_error("write");
    }
    return {};
}

bool caller_stream::is_terminal() const {
    return ::isatty(descriptor_) == 1;
}

std::optional<int> pending_signal() {
    signalfd_siginfo taken{};
    if (::read(signal_descriptor, &taken, sizeof taken) == static_cast<ssize_t>(sizeof taken))
        return static_cast<int>(taken.ssi_signo);
    return std::nullopt;
}

caller_names names_of_caller() {
    std::vector<char> buffer(16 * 1024);
    passwd entry{};
    passwd* found = nullptr;
    if (::getpwuid_r(::getuid(), &entry, buffer.data(), buffer.size(), &found) != 0 || !found)
        return {};
    caller_names names{.login = found->pw_name, .full_name = {}};
    const std::string_view about = found->pw_gecos ? found->pw_gecos : "";
    for (char c : about.substr(0, about.find(','))) // "&" stands for the login name, with a capital
        if (c == '&' && !names.login.empty())
            names.full_name += static_cast<char>(std::toupper(static_cast<unsigned char>(names.login[0]))) +
                               names.login.substr(1);
        else
            names.full_name += c;
    return names;
}

std::optional<std::string> caller_variable(const char* name) {
    const char* value = std::getenv(name);
    return value ? std::optional<std::string>(value) : std::nullopt;
}

} // namespace os
