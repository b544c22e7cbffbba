// Landlock for files, seccomp for system calls. The list of calls was made from what the whole test suite was
// seen to use, and from what its libraries use at other times, with other kernels and on other architectures.
// What is not on it fails with ENOSYS, not with the death of the process: a library that tries something new
// falls back then, and mail goes on.
#include "os/sandbox.hpp"

#include "base/text.hpp"
#include "os/child_process.hpp"
#include "os/identity.hpp"
#include "os/process.hpp"

#include <fcntl.h>
#include <linux/landlock.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <iterator>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace os {

namespace {

base::result<void> renounce_new_privileges() {
    if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return base::last_error("no_new_privs");
    return {};
}

// --- files

// Names of Debian 12's kernel headers end at ABI 2.
constexpr std::uint64_t may_truncate = 1ULL << 14; // ABI 3
constexpr long first_with_rename = 2;              // from one directory to another: ABI 1 forbids that
constexpr long first_with_truncate = 3;

constexpr std::uint64_t read_rights = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;
// No devices, and nothing is executed. Pipes are there because to rename one is to make one, and a filter may
// leave one behind.
constexpr std::uint64_t write_rights =
    LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE |
    LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_SOCK |
    LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_MAKE_SYM | LANDLOCK_ACCESS_FS_REFER | may_truncate;
constexpr std::uint64_t other_rights =
    LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_BLOCK;
constexpr std::uint64_t rights_of_files =
    LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE | may_truncate;

class file_rules {
public:
    static base::result<file_rules> make() {
        // glibc has no functions for these calls.
        long version = ::syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION);
        if (version < 0)
            return base::last_error("landlock");
        if (version < first_with_rename)
            return base::make_error(ENOSYS, "landlock of this kernel");
        file_rules made;
        made.known_ = read_rights | write_rights | other_rights;
        if (version < first_with_truncate)
            made.known_ &= ~may_truncate;
        landlock_ruleset_attr handled{made.known_};
        made.rules_ =
            descriptor(static_cast<int>(::syscall(SYS_landlock_create_ruleset, &handled, sizeof handled, 0)));
        if (made.rules_.number() < 0)
            return base::last_error("landlock");
        return made;
    }

    // Where it cannot be looked at it cannot be used either.
    base::result<void> allow(const std::string& path, std::uint64_t rights) {
        root_scope privileged;
        descriptor there(::open(path.c_str(), O_PATH | O_CLOEXEC));
        struct stat found {};
        if (there.number() < 0 || ::fstat(there.number(), &found) != 0)
            return {};
        rights &= known_;
        if (!S_ISDIR(found.st_mode))
            rights &= rights_of_files;
        landlock_path_beneath_attr rule{};
        rule.allowed_access = rights;
        rule.parent_fd = there.number();
        if (::syscall(SYS_landlock_add_rule, rules_.number(), LANDLOCK_RULE_PATH_BENEATH, &rule, 0) != 0)
            return base::last_error("landlock " + path);
        return {};
    }

    base::result<void> enforce() {
        if (::syscall(SYS_landlock_restrict_self, rules_.number(), 0) != 0)
            return base::last_error("landlock");
        return {};
    }

private:
    descriptor rules_;
    std::uint64_t known_ = 0;
};

// --- system calls

// By purpose. Those that an architecture does not have are passed over. What an io_context, glibc, c-ares and
// the TLS libraries use is here too.
constexpr std::array plain_calls{
    // files
    "access", "chmod", "chown", "close", "close_range", "copy_file_range", "dup", "dup2", "dup3", "faccessat",
    "faccessat2", "fadvise64", "fadvise64_64", "arm_fadvise64_64", "fallocate", "fchdir", "fchmod",
    "fchmodat", "fchmodat2", "fchown", "fchown32", "fchownat", "fcntl", "fcntl64", "fdatasync", "flock",
    "fstat", "fstat64", "fstatat64", "fstatfs", "fstatfs64", "fsync", "ftruncate", "ftruncate64", "getcwd",
    "getdents", "getdents64", "inotify_add_watch", "inotify_init", "inotify_init1", "inotify_rm_watch",
    "ioctl", "lchown", "link", "linkat", "_llseek", "lseek", "lstat", "lstat64", "mkdir", "mkdirat",
    "newfstatat", "open", "openat", "openat2", "pipe", "pipe2", "pread64", "preadv", "preadv2", "pwrite64",
    "pwritev", "pwritev2", "read", "readahead", "readlink", "readlinkat", "readv", "rename", "renameat",
    "renameat2", "rmdir", "sendfile", "sendfile64", "splice", "stat", "stat64", "statfs", "statfs64", "statx",
    "symlink", "symlinkat", "sync_file_range", "sync_file_range2", "syncfs", "truncate", "truncate64",
    "umask", "unlink", "unlinkat", "utime", "utimensat", "utimensat_time64", "utimes", "write", "writev",
    // network
    "accept", "accept4", "bind", "connect", "getpeername", "getsockname", "getsockopt", "listen", "recv",
    "recvfrom", "recvmmsg", "recvmmsg_time64", "recvmsg", "send", "sendmmsg", "sendmsg", "sendto",
    "setsockopt", "shutdown", "socketpair",
    // waiting
    "_newselect", "clock_getres", "clock_getres_time64", "clock_gettime", "clock_gettime64",
    "clock_nanosleep", "clock_nanosleep_time64", "epoll_create", "epoll_create1", "epoll_ctl", "epoll_pwait",
    "epoll_pwait2", "epoll_wait", "eventfd", "eventfd2", "gettimeofday", "nanosleep", "pause", "poll",
    "ppoll", "ppoll_time64", "pselect6", "pselect6_time64", "select", "time", "timerfd_create",
    "timerfd_gettime", "timerfd_gettime64", "timerfd_settime", "timerfd_settime64", "times", "wait4",
    "waitid", "waitpid",
    // memory
    "brk", "madvise", "membarrier", "mincore", "mlock", "mlock2", "mremap", "munlock", "munmap",
    // threads and signals
    "exit", "exit_group", "futex", "futex_time64", "futex_waitv", "get_robust_list", "getcpu", "gettid",
    "restart_syscall", "rseq", "rt_sigaction", "rt_sigpending", "rt_sigprocmask", "rt_sigreturn",
    "rt_sigsuspend", "rt_sigtimedwait", "rt_sigtimedwait_time64", "sched_getaffinity", "sched_getparam",
    "sched_getscheduler", "sched_yield", "set_robust_list", "set_thread_area", "set_tid_address", "sigaction",
    "sigaltstack", "signalfd", "signalfd4", "sigprocmask", "sigreturn", "arch_prctl", "get_thread_area",
    // about itself
    "getegid", "getegid32", "geteuid", "geteuid32", "getgid", "getgid32", "getgroups", "getgroups32",
    "getpgid", "getpgrp", "getpid", "getppid", "getpriority", "getrandom", "getresgid", "getresgid32",
    "getresuid", "getresuid32", "getrlimit", "getrusage", "getsid", "getuid", "getuid32", "sysinfo",
    "ugetrlimit", "uname"};

// For root_scope and file threads: of a process that has something to regain.
constexpr std::array calls_for_ids{"setfsgid",  "setfsgid32",  "setfsuid",  "setfsuid32",
                                   "setresgid", "setresgid32", "setresuid", "setresuid32"};

// For the sanitizers' builds alone. Leaks are looked for by another process that stops this one; a report is
// a file in a directory of their options, made when there is something to report.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr std::array calls_of_sanitizers{
    "clone", "ptrace", "tgkill", "prctl", "kill", "sched_setaffinity", "setrlimit", "prlimit64"};

std::vector<std::string> directories_of_sanitizers() {
    constexpr std::string_view wanted = "log_path=";
    std::vector<std::string> found;
    for (const char* variable : {"ASAN_OPTIONS", "TSAN_OPTIONS"})
        for (const std::string& option : base::split(environment_variable(variable).value_or(""), ':'))
            if (option.starts_with(wanted))
                found.push_back(option.substr(wanted.size(), option.rfind('/') - wanted.size()));
    return found;
}
#else
constexpr std::array<const char*, 0> calls_of_sanitizers{};

std::vector<std::string> directories_of_sanitizers() {
    return {};
}
#endif

class call_rules {
public:
    call_rules() : filter_(::seccomp_init(SCMP_ACT_ERRNO(ENOSYS))) {}

    bool good() const { return filter_ != nullptr; }

    // Remembers the first failure.
    void set(scmp_filter_attr what, std::uint32_t value) {
        note(::seccomp_attr_set(filter_.get(), what, value));
    }
    template <class... Condition>
    void allow(const char* name, Condition... conditions) {
        int number = ::seccomp_syscall_resolve_name(name);
        if (number != __NR_SCMP_ERROR)
            note(::seccomp_rule_add(filter_.get(), SCMP_ACT_ALLOW, number, sizeof...(conditions),
                                    conditions...));
    }
    template <class Names>
    void allow_all(const Names& names) {
        for (const char* name : names)
            allow(name);
    }

    base::result<void> enforce() {
        if (failed_ == 0)
            note(::seccomp_load(filter_.get()));
        if (failed_ != 0)
            return base::make_error(-failed_, "seccomp");
        return {};
    }

private:
    void note(int result) {
        if (failed_ == 0 && result < 0)
            failed_ = result;
    }

    struct release {
        void operator()(void* filter) const { ::seccomp_release(filter); }
    };
    std::unique_ptr<void, release> filter_;
    int failed_ = 0;
};

scmp_arg_cmp equal(unsigned argument, std::uint64_t value) {
    return {argument, SCMP_CMP_EQ, value, 0};
}

scmp_arg_cmp masked(unsigned argument, std::uint64_t mask, std::uint64_t value) {
    return {argument, SCMP_CMP_MASKED_EQ, mask, value};
}

// Calls that are allowed with some arguments only. clone3() has them where a filter cannot look: it is not
// there, so that glibc takes clone().
void allow_with_conditions(call_rules& rules, bool loads_modules) {
    constexpr std::uint64_t new_namespaces = CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC |
                                             CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET;
    rules.allow("clone", masked(0, CLONE_THREAD | new_namespaces, CLONE_THREAD));
    rules.allow("unshare", equal(0, CLONE_FS)); // os::prepare_file_thread
    rules.allow("tgkill", equal(0, static_cast<std::uint64_t>(::getpid())));
    rules.allow("prlimit64", equal(2, 0)); // only asks
    for (int family : {AF_UNIX, AF_INET, AF_INET6, AF_NETLINK})
        rules.allow("socket", equal(0, static_cast<std::uint64_t>(family)));
    for (int what : {PR_SET_NAME, PR_GET_NAME, PR_GET_DUMPABLE, PR_SET_VMA})
        rules.allow("prctl", equal(0, static_cast<std::uint64_t>(what)));
    for (const char* mapping : {"mmap", "mmap2"}) {
        rules.allow(mapping, masked(2, PROT_EXEC, 0));
        if (loads_modules)
            rules.allow(mapping, masked(2, PROT_EXEC | PROT_WRITE, PROT_EXEC), masked(3, MAP_ANONYMOUS, 0));
    }
    rules.allow("mprotect", masked(2, PROT_EXEC, 0));
}

bool has_ids_to_regain() {
    uid_t real_uid = 0, uid = 0, saved_uid = 0;
    gid_t real_gid = 0, gid = 0, saved_gid = 0;
    ::getresuid(&real_uid, &uid, &saved_uid);
    ::getresgid(&real_gid, &gid, &saved_gid);
    return real_uid == 0 || real_uid != uid || saved_uid != uid || real_gid != gid || saved_gid != gid;
}

} // namespace

base::result<void> restrict_files(const reachable_files& files) {
    auto rules = file_rules::make();
    if (rules.has_error())
        return rules.error();
    for (const std::string& path : files.readable)
        if (auto allowed = rules->allow(path, read_rights); allowed.has_error())
            return allowed.error();
    std::vector<std::string> writable = files.writable;
    std::ranges::copy(directories_of_sanitizers(), std::back_inserter(writable));
    for (const std::string& path : writable)
        if (auto allowed = rules->allow(path, read_rights | write_rights); allowed.has_error())
            return allowed.error();
    if (auto renounced = renounce_new_privileges(); renounced.has_error())
        return renounced.error();
    return rules->enforce();
}

base::result<void> restrict_calls(bool loads_modules) {
    call_rules rules;
    if (!rules.good())
        return base::make_error(ENOSYS, "seccomp on this architecture");
    rules.set(SCMP_FLTATR_CTL_NNP, 1);
    rules.set(SCMP_FLTATR_CTL_TSYNC, 1);
    rules.set(SCMP_FLTATR_CTL_LOG, 1);
    rules.set(SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS); // another architecture's calls: never of ours
    rules.allow_all(plain_calls);
    rules.allow_all(calls_of_sanitizers);
    if (has_ids_to_regain())
        rules.allow_all(calls_for_ids);
    allow_with_conditions(rules, loads_modules);
    return rules.enforce();
}

} // namespace os
