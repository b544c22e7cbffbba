// clone() as vfork() does it: the child borrows our memory and we stand still until it has called exec. So it
// may call nothing but system calls: glibc's setresuid(), for one, would change the threads of this process.
#include "os/child_process.hpp"

#include "os/process.hpp"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
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
    sigset_t signals{}; // mask to run with
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
    // Not asked for where it is so: a service manager may forbid these calls.
    gid_t real_gid = 0, gid = 0, saved_gid = 0;
    uid_t real_uid = 0, uid = 0, saved_uid = 0;
    ::syscall(SYS_getresgid, &real_gid, &gid, &saved_gid);
    ::syscall(SYS_getresuid, &real_uid, &uid, &saved_uid);
    if (done == 0 && (real_gid != gid || saved_gid != gid))
        done = ::syscall(SYS_setresgid, gid, gid, gid);
    if (done == 0 && (real_uid != uid || saved_uid != uid))
        done = ::syscall(SYS_setresuid, uid, uid, uid);
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

// Above 2, so that nothing is in the way of the standard descriptors.
base::result<descriptor> above_standard(descriptor given) {
    if (given.number() > STDERR_FILENO)
        return given;
    descriptor higher(::fcntl(given.number(), F_DUPFD_CLOEXEC, STDERR_FILENO + 1));
    if (higher.number() < 0)
        return base::last_error("fcntl");
    return higher;
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

void descriptor::reset() noexcept {
    if (number_ >= 0)
        ::close(release());
}

child_process::child_process(child_process&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)), exit_(std::move(other.exit_)), output_(std::move(other.output_)) {}

child_process& child_process::operator=(child_process&& other) noexcept {
    child_process old(std::move(*this));
    pid_ = std::exchange(other.pid_, -1);
    exit_ = std::move(other.exit_);
    output_ = std::move(other.output_);
    return *this;
}

child_process::~child_process() {
    if (pid_ < 0)
        return;
    signal_group(severity::kill);
    int status = 0;
    while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) // it does not take long any more
        ;
}

base::result<child_process> child_process::start(const std::string& path,
                                                 const std::vector<std::string>& arguments) {
    auto null = above_standard(descriptor(::open("/dev/null", O_RDWR | O_CLOEXEC | O_NOCTTY)));
    if (null.has_error())
        return null.error();
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0)
        return base::last_error("pipe");
    descriptor reading(ends[0]);
    auto writing = above_standard(descriptor(ends[1]));
    if (writing.has_error())
        return writing.error();
    if (::fcntl(reading.number(), F_SETFL, O_NONBLOCK) != 0)
        return base::last_error("fcntl");

    // exec wants non-const pointers and changes nothing.
    std::vector<char*> words{const_cast<char*>(path.c_str())};
    for (const std::string& word : arguments)
        words.push_back(const_cast<char*>(word.c_str()));
    words.push_back(nullptr);
    std::string search = "PATH=/usr/bin:/bin", separators = "IFS= \t\n";
    std::array<char*, 3> environment{search.data(), separators.data(), nullptr};

    borrowed_stack stack;
    if (!stack.good())
        return base::last_error("mmap");
    orders o;
    o.path = path.c_str();
    o.arguments = words.data();
    o.environment = environment.data();
    o.null = null->number();
    o.output = writing->number();
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

    child_process started;
    started.pid_ = pid;
    started.exit_ = descriptor(pidfd);
    started.output_ = std::move(reading);
    if (o.error != 0)
        return base::make_error(o.error, "exec " + path); // and `started` is reaped
    return started;
}

void child_process::signal_group(severity how) noexcept {
    if (pid_ > 0)
        ::kill(-pid_, how == severity::kill ? SIGKILL : SIGTERM);
}

unsigned child_process::reap() noexcept {
    int status = 0;
    pid_t found = 0;
    do
        found = ::waitpid(pid_, &status, 0);
    while (found < 0 && errno == EINTR);
    pid_ = -1;
    if (found < 0)
        return 127;
    return static_cast<unsigned>(WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status));
}

} // namespace os
