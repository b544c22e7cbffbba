#include "os/process.hpp"

#include "os/identity.hpp"

#include "base/text.hpp"

#include <fcntl.h>
#include <netdb.h>
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <climits>
#include <cstdlib>
#include <filesystem>
#include <thread>

namespace os {

namespace {

void point_at_dev_null(int fd, int flags) {
    int null = ::open("/dev/null", flags | O_CLOEXEC | O_NOCTTY);
    if (null < 0)
        return;
    ::dup2(null, fd);
    if (null != fd)
        ::close(null);
}

// Ends the original process with the code it is told; a pipe closed without a word means that the start
// failed.
[[noreturn]] void await_report(int pipe) {
    unsigned char code = 1;
    while (::read(pipe, &code, 1) < 0 && errno == EINTR)
        ;
    ::_exit(code);
}

} // namespace

background::~background() {
    if (report_ >= 0)
        ::close(report_);
}

base::result<void> background::enter() {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0)
        return base::last_error("pipe");
    pid_t child = ::fork();
    if (child < 0)
        return base::last_error("fork");
    if (child > 0) {
        ::close(ends[1]);
        await_report(ends[0]);
    }
    ::close(ends[0]);
    report_ = ends[1];
    ::setsid();
    child = ::fork();
    if (child < 0)
        return base::last_error("fork");
    if (child > 0)
        ::_exit(0);
    if (::chdir("/") != 0)
        return base::last_error("chdir /");
    return {};
}

void background::tell(int exit_code) {
    if (report_ < 0)
        return;
    auto word = static_cast<unsigned char>(exit_code);
    while (::write(report_, &word, 1) < 0 && errno == EINTR)
        ;
    ::close(report_);
    report_ = -1;
}

void open_standard_streams() {
    for (int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
        const int wrong_way = fd == STDIN_FILENO ? O_WRONLY : O_RDONLY;
        if (::fcntl(fd, F_GETFD) < 0 && ::open("/dev/null", wrong_way | O_NOCTTY) < 0)
            ::_exit(71); // EX_OSERR
    }
}

void close_inherited_descriptors(std::size_t kept) {
    ::closefrom(STDERR_FILENO + 1 + static_cast<int>(kept));
}

void close_stdin_and_stdout() {
    point_at_dev_null(STDIN_FILENO, O_RDONLY);
    point_at_dev_null(STDOUT_FILENO, O_WRONLY);
}

void close_stderr() {
    point_at_dev_null(STDERR_FILENO, O_WRONLY);
}

pid_file::~pid_file() {
    remove();
}

base::result<void> pid_file::write(const std::string& path) {
    root_scope privileged;
    std::string directory = path.substr(0, path.rfind('/'));
    if (!directory.empty() && ::access(directory.c_str(), F_OK) != 0) {
        mode_t before = ::umask(002);
        ::mkdir(directory.c_str(), 0777);
        ::umask(before);
    }
    // Written beside and renamed: nobody reads half a number, and a symbolic link put there is replaced, not
    // followed.
    std::string text = std::to_string(::getpid()) + "\n";
    std::string temporary = path + "." + std::to_string(::getpid()) + ".tmp";
    int fd = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
    if (fd < 0)
        return base::last_error("cannot create pid file: " + path);
    bool written =
        ::fchmod(fd, 0644) == 0 && ::write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size());
    int why = errno;
    ::close(fd);
    if (written && ::rename(temporary.c_str(), path.c_str()) == 0) {
        path_ = path;
        return {};
    }
    if (written)
        why = errno;
    ::unlink(temporary.c_str());
    return base::make_error(why, "cannot create pid file: " + path);
}

void pid_file::remove() {
    if (path_.empty())
        return;
    root_scope privileged;
    auto text = read_file(path_);
    if (text && *text == std::to_string(::getpid()) + "\n")
        ::unlink(path_.c_str());
    path_.clear();
}

void set_umask(unsigned mask) {
    ::umask(static_cast<mode_t>(mask));
}

void ignore_sigpipe() {
    ::signal(SIGPIPE, SIG_IGN);
}

namespace {

rlim_t limit_before_raising = 0;

} // namespace

void raise_descriptor_limit() {
    rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    limit_before_raising = limit.rlim_cur;
    limit.rlim_cur = limit.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &limit);
}

std::size_t descriptor_limit() {
    rlimit limit{};
    return ::getrlimit(RLIMIT_NOFILE, &limit) == 0 ? static_cast<std::size_t>(limit.rlim_cur) : 1024;
}

std::size_t original_descriptor_limit() {
    return limit_before_raising != 0 ? static_cast<std::size_t>(limit_before_raising) : descriptor_limit();
}

bool is_ignored(int signal) {
    struct sigaction now {};
    return ::sigaction(signal, nullptr, &now) == 0 && now.sa_handler == SIG_IGN;
}

bool is_first_process() {
    return ::getpid() == 1;
}

void leave_no_zombies() {
    ::signal(SIGCHLD, SIG_IGN);
    while (::waitpid(-1, nullptr, WNOHANG) > 0)
        ;
}

void die_by(int signal) {
    ::signal(signal, SIG_DFL);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, signal);
    pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
    ::raise(signal);
    ::_exit(128 + signal);
}

std::string program_directory() {
    char path[PATH_MAX];
    ssize_t n = ::readlink("/proc/self/exe", path, sizeof path);
    std::string name(path, n > 0 ? static_cast<std::size_t>(n) : 0);
    std::size_t slash = name.rfind('/');
    return slash == std::string::npos || slash == 0 ? "/" : name.substr(0, slash);
}

std::string current_directory() {
    char path[PATH_MAX];
    return ::getcwd(path, sizeof path) ? path : "/";
}

namespace {

template <class Text>
base::result<Text> read_whole(const std::string& path) {
    int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return base::last_error("open " + path);
    Text text;
    char buffer[4096];
    ssize_t n;
    while ((n = ::read(fd, buffer, sizeof buffer)) != 0) {
        if (n > 0)
            text.append(std::string_view(buffer, static_cast<std::size_t>(n)));
        else if (errno != EINTR)
            break;
    }
    int why = errno;
    ::close(fd);
    base::wipe(buffer, sizeof buffer);
    if (n < 0)
        return base::make_error(why, "read " + path);
    return text;
}

} // namespace

base::result<std::string> read_file(const std::string& path) {
    return read_whole<std::string>(path);
}

base::result<base::secret_text> read_secret_file(const std::string& path) {
    return read_whole<base::secret_text>(path);
}

file_kind look_at(const std::string& path) {
    struct stat found {};
    if (::stat(path.c_str(), &found) != 0)
        return file_kind::missing;
    return S_ISDIR(found.st_mode) ? file_kind::directory : file_kind::file;
}

std::vector<std::string> links_behind(const std::string& path) {
    constexpr std::size_t most = 40;
    root_scope privileged;
    std::vector<std::string> found;
    std::string at = path;
    std::error_code failed;
    while (found.size() < most && std::filesystem::is_symlink(at, failed)) {
        std::filesystem::path next = std::filesystem::read_symlink(at, failed);
        if (failed)
            break;
        at = (std::filesystem::path(at).parent_path() / next).string();
        found.push_back(at);
    }
    return found;
}

std::vector<std::string> linked_directories_in(const std::string& directory) {
    root_scope privileged;
    std::vector<std::string> found;
    std::error_code failed;
    for (std::filesystem::directory_iterator at(directory, failed), end; !failed && at != end;
         at.increment(failed)) {
        std::error_code dangling;
        if (!at->is_symlink(dangling) || !at->is_directory(dangling))
            continue;
        std::filesystem::path there = std::filesystem::canonical(at->path(), dangling);
        if (!dangling)
            found.push_back(there.string());
    }
    return found;
}

std::optional<std::string> environment_variable(const std::string& name) {
    const char* value = std::getenv(name.c_str());
    return value ? std::optional<std::string>(value) : std::nullopt;
}

bool may_write_to(const std::string& directory) {
    return ::faccessat(AT_FDCWD, directory.c_str(), W_OK | X_OK, AT_EACCESS) == 0;
}

std::optional<file_version> version_of(const std::string& path) {
    struct stat found {};
    if (::stat(path.c_str(), &found) != 0)
        return std::nullopt;
    return file_version{std::int64_t{found.st_mtim.tv_sec} * 1'000'000'000 + found.st_mtim.tv_nsec,
                        static_cast<std::uint64_t>(found.st_size), found.st_ino};
}

bool is_readable_by_all(const std::string& path) {
    struct stat found {};
    return ::stat(path.c_str(), &found) == 0 && (found.st_mode & S_IROTH) != 0;
}

std::string host_name() {
    char name[256] = "";
    if (::gethostname(name, sizeof name - 1) != 0)
        return "localhost";
    return name;
}

std::string canonical_host_name() {
    addrinfo hints{};
    hints.ai_flags = AI_CANONNAME;
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* found = nullptr;
    std::string name;
    if (::getaddrinfo(host_name().c_str(), nullptr, &hints, &found) == 0) {
        if (found->ai_canonname)
            name = found->ai_canonname;
        ::freeaddrinfo(found);
    }
    return name;
}

unsigned processor_count() {
    cpu_set_t set;
    if (::sched_getaffinity(0, sizeof set, &set) == 0)
        return static_cast<unsigned>(CPU_COUNT(&set));
    return std::thread::hardware_concurrency();
}

unsigned terminal_columns() {
    const char* value = std::getenv("COLUMNS");
    auto columns = value ? base::to_number(value) : std::nullopt;
    return columns && *columns > 0 && *columns < 10'000 ? static_cast<unsigned>(*columns) : 79;
}

} // namespace os
