// clone() as vfork() does it: the child borrows our memory and we stand still until it has called exec. So it
// may call nothing but system calls: what else it does would be done to this process.
#include "os/linux_exec.hpp"

#include "os/process.hpp"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

namespace os {

namespace {

constexpr std::size_t stack_size = 64 * 1024;
constexpr std::size_t kernel_mask_octets = 8; // of a signal set

struct orders {
    const char* path = nullptr;
    char* const* arguments = nullptr;
    char* const* environment = nullptr;
    int null = -1; // all three above 2
    int output = -1;
    rlimit descriptors{};
    sigset_t signals{}; // mask to run with: none blocked
    int error = 0;      // answer: errno of what went wrong
};

// What the kernel's rt_sigaction takes; all zeros is SIG_DFL.
struct kernel_sigaction {
    void* handler;
    unsigned long flags;
    void* restorer;
    unsigned long mask;
};

#if defined(__clang__)
#define EMAILRELAY_PLAIN __attribute__((no_sanitize("address", "undefined", "thread")))
#else
#define EMAILRELAY_PLAIN __attribute__((no_sanitize_address, no_sanitize_undefined, no_sanitize_thread))
#endif

// The child, in the memory of its parent: sanitizers' bookkeeping would outlive it.
EMAILRELAY_PLAIN int become_program(void* given) {
    auto* o = static_cast<orders*>(given);
    for (int number = 1; number < NSIG; ++number) {
        kernel_sigaction plain{nullptr, 0, nullptr, 0};
        ::syscall(SYS_rt_sigaction, number, &plain, nullptr, kernel_mask_octets);
    }
    long done = ::syscall(SYS_setpgid, 0, 0);
    // Until its exec changes ids it goes with the process that can kill its group.
    if (done == 0)
        done = ::syscall(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    if (done == 0)
        done = ::syscall(SYS_dup3, o->null, STDIN_FILENO, 0);
    if (done >= 0)
        done = ::syscall(SYS_dup3, o->output, STDOUT_FILENO, 0);
    if (done >= 0)
        done = ::syscall(SYS_dup3, o->null, STDERR_FILENO, 0);
    if (done >= 0) {
        // Ours are all closed by exec; this is for those that we were started with. Before Linux 5.9 they
        // stay.
        ::syscall(SYS_close_range, 3U, ~0U, 0U);
        ::syscall(SYS_umask, 077);
        ::syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, &o->descriptors, nullptr);
        ::syscall(SYS_rt_sigprocmask, SIG_SETMASK, &o->signals, nullptr, kernel_mask_octets);
        ::syscall(SYS_execve, o->path, o->arguments, o->environment);
    }
    o->error = errno;
    ::syscall(SYS_exit_group, 127);
    return 127;
}

// Memory for the child to stand on until its exec.
class borrowed_stack {
public:
    borrowed_stack()
        : memory_(::mmap(nullptr, stack_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK,
                         -1, 0)) {}
    ~borrowed_stack() {
        if (memory_ != MAP_FAILED)
            ::munmap(memory_, stack_size);
    }
    borrowed_stack(const borrowed_stack&) = delete;
    borrowed_stack& operator=(const borrowed_stack&) = delete;

    bool good() const { return memory_ != MAP_FAILED; }
    void* top() const { return static_cast<char*>(memory_) + stack_size; }

private:
    void* memory_;
};

rlimit descriptors_as_we_were_given() {
    rlimit limit{};
    ::getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = std::min<rlim_t>(limit.rlim_max, original_descriptor_limit());
    return limit;
}

} // namespace

base::result<started_program> start_program(const std::vector<char*>& words, int null, int output) {
    std::string search = "PATH=/usr/bin:/bin", separators = "IFS= \t\n";
    std::array<char*, 3> environment{search.data(), separators.data(), nullptr};

    borrowed_stack stack;
    if (!stack.good())
        return base::last_error("mmap");
    orders o;
    o.path = words.front();
    o.arguments = words.data();
    o.environment = environment.data();
    o.null = null;
    o.output = output;
    o.descriptors = descriptors_as_we_were_given();

    // No signal handler of ours may run in the child.
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int pidfd = -1;
    int pid =
        ::clone(become_program, stack.top(), CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD, &o, &pidfd);
    int why = errno;
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    if (pid < 0)
        return base::make_error(why, "clone");
    started_program started{pid, descriptor(pidfd)};
    if (o.error == 0)
        return started;
    ::waitpid(pid, nullptr, 0);
    return base::make_error(o.error, std::string("exec ") + words.front());
}

} // namespace os
