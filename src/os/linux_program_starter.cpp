// Both sides of the starter.
//
// A request is one packet on the common socket: the words, each with a NUL behind it, and two descriptors:
// the program's own socket and its standard output. On the program's own socket the starter says that it
// runs, or why not, and how it has ended; the relay has it signalled, and by closing the socket has it
// killed. "Program" is also what runs a task.
#include "os/program_starter.hpp"

#include "os/linux_exec.hpp"
#include "os/linux_task.hpp"
#include "os/process.hpp"
#include "os/thread_name.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <syslog.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <functional>
#include <thread>
#include <unordered_map>
#include <utility>

namespace os {

// What makes one starter another than the other.
struct starter_conduct {
    std::string title;
    bool runs_task = false; // with the ids that it has, those that can be regained too
    std::size_t most = 0;   // programs at a time; descriptors may be a limit as well
    // `null` and `output` are above 2.
    std::function<base::result<started_program>(const std::vector<char*>& words, int null, int output)> start;
};

namespace {

constexpr std::size_t most_request = 128 * 1024; // octets; exec allows as much to one argument
constexpr std::size_t descriptors_in_request = 2;
constexpr std::chrono::milliseconds after_a_failure{100};
constexpr std::chrono::seconds for_the_killed{5};

// What is asked of a program, one octet each on its socket.
constexpr char ask_terminate = 'T', ask_let_go = 'L';

void send_octet(int socket, char octet) {
    // A socket that is full or broken belongs to one that is killed anyway.
    [[maybe_unused]] ssize_t sent = ::send(socket, &octet, 1, MSG_DONTWAIT | MSG_NOSIGNAL);
}

bool is_at_its_end(int socket) {
    char octet = 0;
    return ::recv(socket, &octet, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

// --- in the starter

struct request {
    std::vector<char*> words; // in the buffer, and a null pointer
    std::size_t size = 0;     // of what is in the buffer
    descriptor reports, output;
};

enum class received { request, nothing, end };

// Takes what is not as it should be for no request.
received receive(int socket, std::vector<char>& buffer, request& into) {
    iovec piece{buffer.data(), buffer.size()};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(descriptors_in_request * sizeof(int))> control{};
    msghdr message{};
    message.msg_iov = &piece;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    ssize_t size = ::recvmsg(socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (size == 0)
        return received::end;
    if (size < 0) {
        if (errno != EAGAIN && errno != EINTR) // no memory, for one
            std::this_thread::sleep_for(after_a_failure);
        return received::nothing;
    }
    into.size = static_cast<std::size_t>(size);
    std::array<descriptor, descriptors_in_request> given;
    std::size_t count = 0;
    for (cmsghdr* c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        for (std::size_t at = CMSG_LEN(0); at + sizeof(int) <= c->cmsg_len; at += sizeof(int)) {
            int number = -1;
            std::memcpy(&number, reinterpret_cast<char*>(c) + at, sizeof number);
            descriptor owner(number);
            if (count < given.size())
                given[count++] = std::move(owner);
        }
    }
    bool whole = (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) == 0;
    if (!whole || count != given.size() || buffer[into.size - 1] != '\0')
        return received::nothing;
    into.words.clear();
    char* end = buffer.data() + size;
    for (char* at = buffer.data(); at < end; at += std::strlen(at) + 1)
        into.words.push_back(at);
    into.words.push_back(nullptr);
    into.reports = std::move(given[0]);
    into.output = std::move(given[1]);
    return received::request;
}

class starter {
public:
    starter(int requests, const starter_conduct& how, int null)
        : requests_(requests), how_(how), null_(null), buffer_(most_request) {}

    // Until the relay is gone. False if it cannot work.
    bool run();

private:
    // Events carry a program's number, and whether they are about its socket or its end.
    static constexpr std::uint64_t of_requests = 0;
    enum about : std::uint64_t { its_socket = 0, its_end = 1 };

    struct program {
        int pid = -1;
        descriptor end;
        descriptor reports;
        bool ended = false; // but not reaped: its group keeps its number
        bool let_go = false;
    };

    bool watch(int number, std::uint64_t what) const;
    void watch_requests();
    void take_requests();
    void begin(request& asked);
    void serve(std::uint64_t number, about what);
    void hear(program& one);
    void kill(const program& one) const;
    static void report(int socket, program_report::kind what, int value);
    static void tell_end(program& one);
    bool is_over(const program& one) const { return one.ended && one.reports.number() < 0; }
    void kill_all();

    const int requests_;
    const starter_conduct& how_;
    const int null_;
    std::vector<char> buffer_;
    descriptor events_;
    std::unordered_map<std::uint64_t, program> programs_;
    std::uint64_t next_number_ = 1;
    bool taking_ = false; // requests are watched
    bool relay_is_gone_ = false;
};

bool starter::watch(int number, std::uint64_t what) const {
    epoll_event wanted{};
    wanted.events = EPOLLIN;
    wanted.data.u64 = what;
    return ::epoll_ctl(events_.number(), EPOLL_CTL_ADD, number, &wanted) == 0;
}

// Requests wait in their socket while there are no descriptors for more programs.
void starter::watch_requests() {
    constexpr std::size_t of_our_own = 16, for_each = 2;
    std::size_t limit = descriptor_limit();
    std::size_t most = limit > 2 * of_our_own ? (limit - of_our_own) / for_each : 1;
    most = std::min(most, how_.most);
    bool wanted = !relay_is_gone_ && programs_.size() < most;
    if (wanted == taking_)
        return;
    if (wanted)
        watch(requests_, of_requests);
    else
        ::epoll_ctl(events_.number(), EPOLL_CTL_DEL, requests_, nullptr);
    taking_ = wanted;
}

void starter::report(int socket, program_report::kind what, int value) {
    program_report text{what, value};
    // If the relay has closed it already, nobody wants to know.
    [[maybe_unused]] ssize_t sent = ::send(socket, &text, sizeof text, MSG_DONTWAIT | MSG_NOSIGNAL);
}

void starter::take_requests() {
    request asked;
    switch (receive(requests_, buffer_, asked)) {
    case received::request:
        begin(asked);
        break;
    case received::nothing:
        break;
    case received::end:
        relay_is_gone_ = true;
        break;
    }
    base::wipe(buffer_.data(), asked.size);
}

void starter::begin(request& asked) {
    using enum program_report::kind;
    int socket = asked.reports.number();
    if (is_at_its_end(socket))
        return; // it took too long
    auto running = how_.start(asked.words, null_, asked.output.number());
    if (running.has_error())
        return report(socket, not_started, running.error().code.value());
    std::uint64_t number = next_number_++;
    program& one = programs_[number];
    one.pid = running->pid;
    one.end = std::move(running->end);
    one.reports = std::move(asked.reports);
    if (!watch(socket, 2 * number + its_socket) || !watch(one.end.number(), 2 * number + its_end)) {
        ::kill(-one.pid, SIGKILL);
        ::waitpid(one.pid, nullptr, 0);
        report(socket, not_started, ENOMEM);
        programs_.erase(number);
        return;
    }
    report(socket, started, 0);
}

void starter::tell_end(program& one) {
    siginfo_t found{};
    ::waitid(P_PID, static_cast<id_t>(one.pid), &found, WEXITED | WNOHANG | WNOWAIT);
    one.ended = true;
    int code = found.si_code == CLD_EXITED ? found.si_status : 128 + found.si_status;
    report(one.reports.number(), program_report::kind::ended, code);
}

void starter::hear(program& one) {
    char octet = 0;
    ssize_t size = 0;
    while ((size = ::recv(one.reports.number(), &octet, 1, MSG_DONTWAIT)) > 0) {
        if (octet == ask_terminate && how_.runs_task)
            kill(one);
        else if (octet == ask_terminate)
            ::kill(-one.pid, SIGTERM);
        else if (octet == ask_let_go)
            one.let_go = true;
    }
    if (size < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    one.reports.reset();
    if (!one.let_go)
        kill(one);
}

// A program may put children into groups of their own and out of its hands. Of a task nothing is to stay that
// hangs, or they would become more and more: there is no limit to their number but this.
void starter::kill(const program& one) const {
    const std::vector<int> others = how_.runs_task ? descendants_of(one.pid) : std::vector<int>();
    ::kill(-one.pid, SIGKILL);
    for (int pid : others)
        ::kill(pid, SIGKILL);
}

void starter::serve(std::uint64_t number, about what) {
    auto found = programs_.find(number);
    if (found == programs_.end())
        return;
    program& one = found->second;
    if (what == its_socket && one.reports.number() >= 0)
        hear(one);
    if (what == its_end) {
        ::epoll_ctl(events_.number(), EPOLL_CTL_DEL, one.end.number(), nullptr);
        tell_end(one);
    }
    if (!is_over(one))
        return;
    ::waitpid(one.pid, nullptr, 0);
    programs_.erase(found);
}

void starter::kill_all() {
    for (auto& [number, one] : programs_) {
        hear(one); // it may have been let go
        if (one.reports.number() >= 0)
            kill(one);
        one.reports.reset();
    }
    std::erase_if(programs_, [this](auto& each) {
        return is_over(each.second) && ::waitpid(each.second.pid, nullptr, 0) == each.second.pid;
    });
}

bool starter::run() {
    events_ = descriptor(::epoll_create1(EPOLL_CLOEXEC));
    if (events_.number() < 0)
        return false;
    auto limit = std::chrono::steady_clock::time_point::max();
    while (!relay_is_gone_ || (!programs_.empty() && std::chrono::steady_clock::now() < limit)) {
        watch_requests();
        std::array<epoll_event, 64> found;
        int count = ::epoll_wait(events_.number(), found.data(), found.size(), relay_is_gone_ ? 100 : -1);
        if (count < 0 && errno != EINTR)
            return false;
        for (int i = 0; i < count; ++i) {
            std::uint64_t what = found[static_cast<std::size_t>(i)].data.u64;
            if (what == of_requests)
                take_requests();
            else
                serve(what / 2, static_cast<about>(what % 2));
        }
        if (relay_is_gone_ && limit == std::chrono::steady_clock::time_point::max()) {
            kill_all();
            limit = std::chrono::steady_clock::now() + for_the_killed;
        }
    }
    return true;
}

// What the starter and its keeper have in common. Signals for the relay may be sent to all of its processes
// (by a terminal, by a service manager); these two go when it has gone.
bool become_another_process(const starter_conduct& how) {
    for (int number : {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGALRM, SIGPIPE})
        ::signal(number, SIG_IGN);
    ::signal(SIGCHLD, SIG_DFL);
    ::closelog(); // or libraries that log would write to what has the number of its socket then
    name_thread(how.title);
    ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0); // a program of the same user shall not take it over
    if (how.runs_task)
        return true;
    // Those of programs: root is not to be regained. Not asked for where it is so: a service manager may
    // forbid these calls.
    gid_t real_gid = 0, gid = 0, saved_gid = 0;
    uid_t real_uid = 0, uid = 0, saved_uid = 0;
    ::getresgid(&real_gid, &gid, &saved_gid);
    ::getresuid(&real_uid, &uid, &saved_uid);
    if ((real_gid != gid || saved_gid != gid) && ::setresgid(gid, gid, gid) != 0)
        return false;
    return (real_uid == uid && saved_uid == uid) || ::setresuid(uid, uid, uid) == 0;
}

// Never returns. All that a service manager or a pipe may wait for is closed.
[[noreturn]] void keep_a_starter(descriptor requests, const starter_conduct& how) {
    constexpr int of_requests = 3, of_null = 4;
    int socket = ::fcntl(requests.number(), F_DUPFD_CLOEXEC, of_null + 1);
    int null = ::open("/dev/null", O_RDWR | O_CLOEXEC | O_NOCTTY);
    if (socket < 0 || null < 0 || !become_another_process(how))
        ::_exit(1);
    int high_null = ::fcntl(null, F_DUPFD_CLOEXEC, of_null + 1);
    for (int standard : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO})
        ::dup2(high_null, standard);
    ::dup3(socket, of_requests, O_CLOEXEC);
    ::dup3(high_null, of_null, O_CLOEXEC);
    ::closefrom(of_null + 1);
    while (!is_at_its_end(of_requests)) {
        pid_t worker = ::fork();
        if (worker == 0)
            ::_exit(starter(of_requests, how, of_null).run() ? 0 : 1);
        int status = 0;
        while (worker > 0 && ::waitpid(worker, &status, 0) < 0 && errno == EINTR)
            ;
        if (worker > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0)
            break;
        std::this_thread::sleep_for(after_a_failure);
    }
    ::_exit(0);
}

} // namespace

// --- in the relay

void descriptor::reset() noexcept {
    if (number_ >= 0)
        ::close(release());
}

base::result<std::optional<program_report>> child_process::hear() {
    program_report found;
    ssize_t size = ::recv(reports_.number(), &found, sizeof found, MSG_DONTWAIT);
    if (size < 0 && (errno == EAGAIN || errno == EINTR))
        return std::nullopt;
    if (size != static_cast<ssize_t>(sizeof found)) {
        if (!started_)
            return base::make_error(EAGAIN, what_);
        found = {program_report::kind::ended, 128 + SIGKILL};
    }
    if (found.what == program_report::kind::not_started)
        return base::make_error(found.value, what_);
    started_ = true;
    return found;
}

void child_process::terminate() noexcept {
    send_octet(reports_.number(), ask_terminate);
}

void child_process::let_go() noexcept {
    send_octet(reports_.number(), ask_let_go);
}

base::result<void> program_starter::begin(std::vector<std::string> programs) {
    starter_conduct how{"emailrelay-prog", false, SIZE_MAX, {}};
    how.start = [allowed = std::move(programs)](const std::vector<char*>& words, int null, int output) {
        if (std::find(allowed.begin(), allowed.end(), words.front()) == allowed.end())
            return base::result<started_program>(base::make_error(EPERM, words.front()));
        return start_program(words, null, output);
    };
    return fork_keeper(how);
}

base::result<void> program_starter::begin(std::string name, const std::string& title, task run,
                                          std::size_t most) {
    name_ = std::move(name);
    runs_programs_ = false;
    starter_conduct how{title, true, most, {}};
    how.start = [run](const std::vector<char*>& words, int, int output) {
        return start_task(run, words, output);
    };
    return fork_keeper(how);
}

base::result<void> program_starter::fork_keeper(const starter_conduct& how) {
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
        return base::last_error("socketpair");
    descriptor ours(ends[0]), theirs(ends[1]);
    int room = 2 * static_cast<int>(most_request);
    ::setsockopt(ours.number(), SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
    pid_t pid = ::fork();
    if (pid < 0)
        return base::last_error("fork");
    if (pid == 0) {
        ours.reset();
        keep_a_starter(std::move(theirs), how);
    }
    keeper_ = pid;
    requests_ = std::move(ours);
    return {};
}

base::result<child_process> program_starter::start(const start_request& asked) const {
    std::string what = runs_programs_ ? "exec " + asked.first() : name_;
    if (asked.packet().size() > most_request)
        return base::make_error(E2BIG, what);
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0)
        return base::last_error("socketpair");
    descriptor reports(ends[0]), theirs(ends[1]);
    if (::pipe2(ends, O_CLOEXEC) != 0)
        return base::last_error("pipe");
    descriptor reading(ends[0]), writing(ends[1]);
    if (::fcntl(reading.number(), F_SETFL, O_NONBLOCK) != 0)
        return base::last_error("fcntl");

    std::array<int, descriptors_in_request> passed{theirs.number(), writing.number()};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof passed)> control{};
    iovec piece{const_cast<char*>(asked.packet().data()), asked.packet().size()}; // only read
    msghdr message{};
    message.msg_iov = &piece;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    cmsghdr* head = CMSG_FIRSTHDR(&message);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(sizeof passed);
    std::memcpy(CMSG_DATA(head), passed.data(), sizeof passed);
    if (::sendmsg(requests_.number(), &message, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
        // The kernel counts descriptors under way as the sender's, and may have no room for a big packet.
        int why = errno == ETOOMANYREFS || errno == ENOBUFS ? EAGAIN : errno;
        return base::make_error(why, why == EPIPE ? name_ + " is gone" : name_);
    }
    return child_process(std::move(what), std::move(reports), std::move(reading));
}

void program_starter::end() noexcept {
    requests_.reset();
    if (keeper_ < 0)
        return;
    while (::waitpid(keeper_, nullptr, 0) < 0 && errno == EINTR)
        ; // ECHILD, once it has ended, in a process that leaves no zombies
    keeper_ = -1;
}

} // namespace os
