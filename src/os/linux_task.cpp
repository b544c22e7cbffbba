// A function that never comes back into this process: what it leaves behind, hangs on or crashes by ends with
// the process that it was given.
#include "os/linux_task.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <filesystem>
#include <fstream>
#include <string>
#include <system_error>

namespace os {

namespace {

constexpr int of_output = STDERR_FILENO + 1;

// Libraries in it may use what every program may: signals, children of its own, any descriptor but these. One
// that throws ends it, as one that crashes.
[[noreturn]] void do_task(task run, const std::vector<char*>& words, int output, pid_t starter) noexcept {
    ::setpgid(0, 0);
    ::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    if (::getppid() != starter)
        ::_exit(1); // it was killed before we said that we want to go with it
    for (int number : {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGALRM})
        ::signal(number, SIG_DFL);
    if (::dup3(output, of_output, O_CLOEXEC) < 0)
        ::_exit(1);
    ::closefrom(of_output + 1);
    const std::string said = run(words);
    // In one piece: it fits into a pipe that nobody else writes to.
    const std::size_t size = std::min<std::size_t>(said.size(), PIPE_BUF);
    ::_exit(::write(of_output, said.data(), size) == static_cast<ssize_t>(size) ? 0 : 1);
}

} // namespace

base::result<started_program> start_task(task run, const std::vector<char*>& words, int output) {
    pid_t starter = ::getpid();
    pid_t pid = ::fork();
    if (pid < 0)
        return base::last_error("fork");
    if (pid == 0)
        do_task(run, words, output, starter);
    ::setpgid(pid, pid); // both do it: its group is there for whoever needs it first
    // glibc 2.36 declares its function for C only.
    started_program started{pid, descriptor(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)))};
    if (started.end.number() >= 0)
        return started;
    int why = errno;
    ::kill(pid, SIGKILL);
    ::waitpid(pid, nullptr, 0);
    return base::make_error(why, "pidfd_open");
}

std::vector<int> descendants_of(int pid) {
    std::vector<int> found{pid};
    for (std::size_t at = 0; at < found.size(); ++at) {
        const std::string threads = "/proc/" + std::to_string(found[at]) + "/task";
        std::error_code failed;
        for (std::filesystem::directory_iterator one(threads, failed), end; !failed && one != end;
             one.increment(failed)) {
            std::ifstream children(one->path() / "children");
            for (int child = 0; children >> child;)
                found.push_back(child);
        }
    }
    found.erase(found.begin());
    return found;
}

} // namespace os
