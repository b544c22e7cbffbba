// Loaded in front of the C library (LD_PRELOAD) by tests/e2e/fault_injection.py: makes the n-th system call
// on files under one folder, or one about a connection, fail, fall short, be interrupted, or be the moment at
// which the process is killed; or makes memory run out at the n-th allocation, the program's or a C
// library's.
//
// What to do stands in a page of memory that the test shares, a file named by EMAILRELAY_FAULTS; the folder
// is EMAILRELAY_FAULTS_UNDER. Calls are counted over all threads while the page says so, and each leaves a
// line in the page, so that the test knows which call it was. Everything goes to the kernel without the C
// library's wrappers, so that it does not matter what else is loaded; memory comes from whom it would come
// from otherwise, a sanitizer's too.
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdarg>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <string_view>

namespace {

enum class what_to_do : std::uint32_t { nothing, count, fail, kill, fall_short, interrupt };

// sockets: made and accepted; exchanges: what is said over them and pipes, and the start of programs.
enum class which_calls : std::uint32_t { files, sockets, memory, library_memory, exchanges };

constexpr std::size_t places = 4096;

// The test knows this layout.
struct page {
    std::atomic<what_to_do> todo;
    std::int32_t error; // 0: what fits the call
    which_calls which;
    std::uint32_t unused;
    std::uint64_t when;     // n, from 0
    std::uint64_t how_many; // from the n-th on
    std::atomic<std::uint64_t> calls;
    std::atomic<std::uint64_t> hits;
    char trace[places][64];
};

page* shared = nullptr;

// Not before: the loader allocates when there is no environment yet.
[[gnu::constructor]] void find_page() {
    const char* path = std::getenv("EMAILRELAY_FAULTS");
    const long fd = path ? ::syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC, 0) : -1;
    if (fd < 0)
        return;
    void* memory = ::mmap(nullptr, sizeof(page), PROT_READ | PROT_WRITE, MAP_SHARED, static_cast<int>(fd), 0);
    ::syscall(SYS_close, fd);
    if (memory != MAP_FAILED)
        shared = static_cast<page*>(memory);
}

bool is_under(std::string_view path) {
    static const char* const folder = std::getenv("EMAILRELAY_FAULTS_UNDER");
    return folder && path.starts_with(folder);
}

// Writes the path that a descriptor stands for into `to`.
std::string_view path_of(int descriptor, char (&to)[4096]) {
    char link[64];
    std::snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    const long n = ::syscall(SYS_readlinkat, AT_FDCWD, link, to, sizeof to);
    return {to, n > 0 ? static_cast<std::size_t>(n) : 0};
}

enum class verdict { go_on, fail, fall_short };

// Counts the call and says what becomes of it; on a failure errno is set.
verdict judge(const char* call, std::string_view name, int fitting) {
    page& p = *shared;
    const std::uint64_t n = p.calls.fetch_add(1);
    const what_to_do todo = p.todo.load();
    if (n < places)
        std::snprintf(p.trace[n], sizeof p.trace[n], "%s %.*s", call, static_cast<int>(name.size()),
                      name.data());
    // Where much fails, what frees room and descriptors does not.
    const bool frees = call == std::string_view("unlinkat") || call == std::string_view("close");
    if (todo == what_to_do::count || n < p.when || n - p.when >= p.how_many || (p.how_many > 1 && frees))
        return verdict::go_on;
    p.hits.fetch_add(1);
    if (todo == what_to_do::kill) {
        ::syscall(SYS_kill, ::syscall(SYS_getpid), SIGKILL);
        ::pause();
    }
    if (todo == what_to_do::fall_short)
        return verdict::fall_short;
    errno = todo == what_to_do::interrupt ? EINTR : p.error ? p.error : fitting;
    return verdict::fail;
}

bool is_on(which_calls which) {
    return shared && shared->todo.load() != what_to_do::nothing && shared->which == which;
}

std::string_view last_part(std::string_view path) {
    const std::size_t slash = path.rfind('/');
    return slash == path.npos ? path : path.substr(slash + 1);
}

verdict on_descriptor(const char* call, int descriptor, int fitting) {
    if (!is_on(which_calls::files))
        return verdict::go_on;
    const int kept = errno;
    char buffer[4096];
    const std::string_view path = path_of(descriptor, buffer);
    errno = kept;
    return is_under(path) ? judge(call, last_part(path), fitting) : verdict::go_on;
}

verdict on_exchange(const char* call, int fitting) {
    return is_on(which_calls::exchanges) ? judge(call, "", fitting) : verdict::go_on;
}

bool is_pipe(int descriptor) {
    if (!is_on(which_calls::exchanges))
        return false;
    const int kept = errno;
    char buffer[4096];
    const bool found = path_of(descriptor, buffer).starts_with("pipe:");
    errno = kept;
    return found;
}

verdict on_name(const char* call, int directory, const char* name, int fitting) {
    if (!is_on(which_calls::files) || !name)
        return verdict::go_on;
    if (name[0] == '/')
        return is_under(name) ? judge(call, last_part(name), fitting) : verdict::go_on;
    const int kept = errno;
    char buffer[4096];
    const std::string_view path = directory == AT_FDCWD ? std::string_view() : path_of(directory, buffer);
    errno = kept;
    return is_under(path) ? judge(call, name, fitting) : verdict::go_on;
}

template <class... Args>
long kernel(long number, Args... args) {
    return ::syscall(number, args...);
}

// The next definition of a function behind this one.
template <class Function>
Function* next_of(const char* symbol) {
    void* found = ::dlsym(RTLD_NEXT, symbol);
    Function* function = nullptr;
    std::memcpy(&function, &found, sizeof function);
    return function;
}

bool denied(which_calls which, const char* call) {
    if (!is_on(which))
        return false;
    const int kept = errno;
    char thread[16] = "";
    ::syscall(SYS_prctl, PR_GET_NAME, thread);
    const bool failed = judge(call, thread, ENOMEM) == verdict::fail;
    if (!failed)
        errno = kept;
    return failed;
}

// As the standard wants it: the handler may free something, or throw.
template <class... Args>
void* allocate(void* (*next)(Args...), Args... args) {
    while (denied(which_calls::memory, "new")) {
        const std::new_handler handler = std::get_new_handler();
        if (!handler)
            throw std::bad_alloc();
        handler();
    }
    return next(args...);
}

mode_t mode_behind(int flags, va_list args) {
    return (flags & (O_CREAT | O_TMPFILE)) != 0 ? static_cast<mode_t>(va_arg(args, unsigned)) : 0;
}

} // namespace

extern "C" {

int open(const char* path, int flags, ...) {
    va_list args;
    va_start(args, flags);
    const mode_t mode = mode_behind(flags, args);
    va_end(args);
    if (on_name("open", AT_FDCWD, path, EMFILE) == verdict::fail)
        return -1;
    return static_cast<int>(kernel(SYS_openat, AT_FDCWD, path, flags, mode));
}

int openat(int directory, const char* path, int flags, ...) {
    va_list args;
    va_start(args, flags);
    const mode_t mode = mode_behind(flags, args);
    va_end(args);
    if (on_name((flags & O_CREAT) != 0 ? "create" : "openat", directory, path, EMFILE) == verdict::fail)
        return -1;
    return static_cast<int>(kernel(SYS_openat, directory, path, flags, mode));
}

int close(int descriptor) {
    // The descriptor is closed in any case, as the kernel does it.
    const verdict now = on_descriptor("close", descriptor, EIO);
    const int why = errno;
    const long done = kernel(SYS_close, descriptor);
    if (now != verdict::fail)
        return static_cast<int>(done);
    errno = why;
    return -1;
}

ssize_t read(int descriptor, void* to, size_t size) {
    verdict now = on_descriptor("read", descriptor, EIO);
    if (now == verdict::go_on && is_pipe(descriptor))
        now = on_exchange("read pipe", EIO);
    if (now == verdict::fail)
        return -1;
    return kernel(SYS_read, descriptor, to, now == verdict::fall_short ? (size + 1) / 2 : size);
}

ssize_t pread(int descriptor, void* to, size_t size, off_t offset) {
    const verdict now = on_descriptor("pread", descriptor, EIO);
    if (now == verdict::fail)
        return -1;
    return kernel(SYS_pread64, descriptor, to, now == verdict::fall_short ? (size + 1) / 2 : size, offset);
}

ssize_t write(int descriptor, const void* from, size_t size) {
    const verdict now = on_descriptor("write", descriptor, ENOSPC);
    if (now == verdict::fail)
        return -1;
    return kernel(SYS_write, descriptor, from, now == verdict::fall_short ? (size + 1) / 2 : size);
}

ssize_t pwrite(int descriptor, const void* from, size_t size, off_t offset) {
    const verdict now = on_descriptor("pwrite", descriptor, ENOSPC);
    if (now == verdict::fail)
        return -1;
    return kernel(SYS_pwrite64, descriptor, from, now == verdict::fall_short ? (size + 1) / 2 : size, offset);
}

int fsync(int descriptor) {
    if (on_descriptor("fsync", descriptor, EIO) == verdict::fail)
        return -1;
    return static_cast<int>(kernel(SYS_fsync, descriptor));
}

int fdatasync(int descriptor) {
    if (on_descriptor("fdatasync", descriptor, EIO) == verdict::fail)
        return -1;
    return static_cast<int>(kernel(SYS_fdatasync, descriptor));
}

int syncfs(int descriptor) noexcept {
    if (on_descriptor("syncfs", descriptor, EIO) == verdict::fail)
        return -1;
    return static_cast<int>(kernel(SYS_syncfs, descriptor));
}

int ftruncate(int descriptor, off_t size) noexcept {
    if (on_descriptor("ftruncate", descriptor, EIO) == verdict::fail)
        return -1;
    return static_cast<int>(kernel(SYS_ftruncate, descriptor, size));
}

int renameat(int from_directory, const char* from, int to_directory, const char* to) noexcept {
    if (on_name("renameat", from_directory, from, EIO) == verdict::fail)
        return -1;
    return static_cast<int>(kernel(SYS_renameat, from_directory, from, to_directory, to));
}

int renameat2(int from_directory, const char* from, int to_directory, const char* to,
              unsigned flags) noexcept {
    if (on_name("renameat2", from_directory, from, EIO) == verdict::fail)
        return -1;
    return static_cast<int>(kernel(SYS_renameat2, from_directory, from, to_directory, to, flags));
}

int linkat(int from_directory, const char* from, int to_directory, const char* to, int flags) noexcept {
    if (on_name("linkat", from_directory, from, EIO) == verdict::fail)
        return -1;
    return static_cast<int>(kernel(SYS_linkat, from_directory, from, to_directory, to, flags));
}

int unlinkat(int directory, const char* name, int flags) noexcept {
    if (on_name("unlinkat", directory, name, EIO) == verdict::fail)
        return -1;
    return static_cast<int>(kernel(SYS_unlinkat, directory, name, flags));
}

int mkdirat(int directory, const char* name, mode_t mode) noexcept {
    if (on_name("mkdirat", directory, name, ENOSPC) == verdict::fail)
        return -1;
    return static_cast<int>(kernel(SYS_mkdirat, directory, name, mode));
}

int fstat(int descriptor, struct stat* about) noexcept {
    if (on_descriptor("fstat", descriptor, ENOMEM) == verdict::fail)
        return -1;
    return static_cast<int>(kernel(SYS_fstat, descriptor, about));
}

int fstatat(int directory, const char* name, struct stat* about, int flags) noexcept {
    if (on_name("fstatat", directory, name, ENOMEM) == verdict::fail)
        return -1;
    return static_cast<int>(kernel(SYS_newfstatat, directory, name, about, flags));
}

int fcntl(int descriptor, int command, ...) {
    va_list args;
    va_start(args, command);
    void* argument = va_arg(args, void*);
    va_end(args);
    const bool locks = command == F_OFD_SETLK || command == F_OFD_GETLK;
    if (locks && on_descriptor("lock", descriptor, ENOLCK) == verdict::fail)
        return -1;
    return static_cast<int>(kernel(SYS_fcntl, descriptor, command, argument));
}

int flock(int descriptor, int how) noexcept {
    if (on_descriptor("flock", descriptor, ENOLCK) == verdict::fail)
        return -1;
    return static_cast<int>(kernel(SYS_flock, descriptor, how));
}

int accept(int descriptor, sockaddr* peer, socklen_t* size) {
    if (is_on(which_calls::sockets) && judge("accept", "", EMFILE) == verdict::fail) {
        if (errno == ECONNABORTED) { // then the connection is gone
            ::syscall(SYS_close, kernel(SYS_accept, descriptor, peer, size));
            errno = ECONNABORTED;
        }
        return -1;
    }
    return static_cast<int>(kernel(SYS_accept, descriptor, peer, size));
}

int socket(int family, int type, int protocol) noexcept {
    if (is_on(which_calls::sockets) && judge("socket", "", EMFILE) == verdict::fail)
        return -1;
    if (on_exchange("socket", EMFILE) == verdict::fail)
        return -1;
    return static_cast<int>(kernel(SYS_socket, family, type, protocol));
}

int connect(int descriptor, const sockaddr* to, socklen_t size) {
    if (on_exchange("connect", ENETUNREACH) == verdict::fail)
        return -1;
    return static_cast<int>(kernel(SYS_connect, descriptor, to, size));
}

int socketpair(int family, int type, int protocol, int ends[2]) noexcept {
    if (on_exchange("socketpair", EMFILE) == verdict::fail)
        return -1;
    return static_cast<int>(kernel(SYS_socketpair, family, type, protocol, ends));
}

int pipe2(int ends[2], int flags) noexcept {
    if (on_exchange("pipe2", EMFILE) == verdict::fail)
        return -1;
    return static_cast<int>(kernel(SYS_pipe2, ends, flags));
}

ssize_t send(int descriptor, const void* from, size_t size, int flags) {
    const verdict now = on_exchange("send", EPIPE);
    if (now == verdict::fail)
        return -1;
    return kernel(SYS_sendto, descriptor, from, now == verdict::fall_short ? (size + 1) / 2 : size, flags,
                  nullptr, 0);
}

ssize_t recv(int descriptor, void* to, size_t size, int flags) {
    const verdict now = on_exchange("recv", ECONNRESET);
    if (now == verdict::fail)
        return -1;
    return kernel(SYS_recvfrom, descriptor, to, now == verdict::fall_short ? (size + 1) / 2 : size, flags,
                  nullptr, nullptr);
}

ssize_t sendmsg(int descriptor, const msghdr* message, int flags) {
    if (on_exchange("sendmsg", ENOBUFS) == verdict::fail)
        return -1;
    return kernel(SYS_sendmsg, descriptor, message, flags);
}

ssize_t recvmsg(int descriptor, msghdr* message, int flags) {
    if (on_exchange("recvmsg", ENOMEM) == verdict::fail)
        return -1;
    return kernel(SYS_recvmsg, descriptor, message, flags);
}

// Of a program; a thread is made by another way.
int clone(int (*begin)(void*), void* stack, int flags, void* argument, ...) noexcept {
    static auto* const next = next_of<int(int (*)(void*), void*, int, void*, void*, void*, void*)>("clone");
    va_list args;
    va_start(args, argument);
    void* pidfd = va_arg(args, void*);
    va_end(args);
    if (on_exchange("clone", EAGAIN) == verdict::fail)
        return -1;
    return next(begin, stack, flags, argument, pidfd, nullptr, nullptr);
}
}

void* operator new(std::size_t size) {
    static auto* const next = next_of<void*(std::size_t)>("_Znwm");
    return allocate(next, size);
}

void* operator new[](std::size_t size) {
    static auto* const next = next_of<void*(std::size_t)>("_Znam");
    return allocate(next, size);
}

void* operator new(std::size_t size, std::align_val_t alignment) {
    static auto* const next = next_of<void*(std::size_t, std::align_val_t)>("_ZnwmSt11align_val_t");
    return allocate(next, size, alignment);
}

// What C libraries allocate.
extern "C" {

void* malloc(std::size_t size) {
    static auto* const next = next_of<void*(std::size_t)>("malloc");
    return denied(which_calls::library_memory, "malloc") ? nullptr : next(size);
}

void* calloc(std::size_t count, std::size_t size) {
    static auto* const next = next_of<void*(std::size_t, std::size_t)>("calloc");
    return denied(which_calls::library_memory, "calloc") ? nullptr : next(count, size);
}

void* realloc(void* from, std::size_t size) {
    static auto* const next = next_of<void*(void*, std::size_t)>("realloc");
    return denied(which_calls::library_memory, "realloc") ? nullptr : next(from, size);
}
}
