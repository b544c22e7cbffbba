#include "os/identity.hpp"
#include "os/log_writer.hpp"
#include "os/pam.hpp"
#include "os/process.hpp"
#include "os/program_starter.hpp"
#include "os/sandbox.hpp"
#include "os/worker_pool.hpp"

#include <gtest/gtest.h>

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/fsuid.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <initializer_list>
#include <iterator>
#include <regex>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>

namespace {

class folder {
public:
    folder() {
        char name[] = "/tmp/os_test.XXXXXX";
        path_ = ::mkdtemp(name);
    }
    ~folder() { std::system(("rm -rf " + path_).c_str()); }
    std::string operator/(const std::string& name) const { return path_ + "/" + name; }

private:
    std::string path_;
};

std::string text_of(const std::string& path) {
    std::ifstream in(path);
    return {std::istreambuf_iterator<char>(in), {}};
}

os::log_settings to_file(const std::string& path) {
    os::log_settings s;
    s.enabled = true;
    s.file = path;
    return s;
}

} // namespace

TEST(worker_pool, runs_all_that_was_posted_before_it_stops) {
    std::atomic<int> ran = 0;
    std::atomic<int> prepared = 0;
    {
        os::worker_pool pool("test", 3, [&] { ++prepared; });
        for (int i = 0; i < 1000; ++i)
            ASSERT_TRUE(pool.post([&] { ++ran; }));
    }
    EXPECT_EQ(ran, 1000);
    EXPECT_EQ(prepared, 3);
}

TEST(worker_pool, refuses_jobs_after_stop) {
    os::worker_pool pool("test", 1);
    pool.stop();
    EXPECT_FALSE(pool.post([] { FAIL() << "must not run"; }));
}

TEST(log_writer, loses_nothing_on_an_orderly_stop_and_keeps_each_threads_order) {
    folder f;
    constexpr int lines = 2000;
    {
        os::log_writer log(to_file(f / "log"));
        ASSERT_TRUE(log.open());
        log.start();
        auto write = [&log](char name) {
            base::logger out(log);
            for (int i = 0; i < lines; ++i)
                out.summary("{} {}", name, i);
        };
        std::thread a(write, 'a'), b(write, 'b');
        a.join();
        b.join();
    }
    std::ifstream in(f / "log");
    std::string line;
    int next[2] = {0, 0};
    while (std::getline(in, line)) {
        ASSERT_TRUE(line.starts_with("emailrelay: info: ")) << line;
        int& expected = next[line[18] == 'a' ? 0 : 1];
        EXPECT_EQ(std::stoi(line.substr(20)), expected++);
    }
    EXPECT_EQ(next[0], lines);
    EXPECT_EQ(next[1], lines);
}

namespace {

// A file to log to that takes little as long as nobody reads it.
class pipe_file {
public:
    explicit pipe_file(std::string path) : path_(std::move(path)) {
        if (::mkfifo(path_.c_str(), 0600) != 0)
            throw std::runtime_error("mkfifo");
        reading_ = ::open(path_.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
        ::fcntl(reading_, F_SETFL, 0);
    }
    ~pipe_file() { ::close(reading_); }
    pipe_file(const pipe_file&) = delete;
    pipe_file& operator=(const pipe_file&) = delete;

    // Until nobody has it open for writing.
    std::string read_all() const {
        std::string text;
        char buffer[65536];
        for (ssize_t n = 0; (n = ::read(reading_, buffer, sizeof buffer)) > 0;)
            text.append(buffer, static_cast<std::size_t>(n));
        return text;
    }

private:
    std::string path_;
    int reading_ = -1;
};

os::log_settings impatient(const std::string& path) {
    os::log_settings s = to_file(path);
    s.patience = std::chrono::milliseconds(100);
    return s;
}

} // namespace

TEST(log_writer, lines_that_nobody_reads_are_counted_and_delay_nobody) {
    folder f;
    pipe_file file(f / "log");
    constexpr std::size_t lines = 250'000;
    std::string text;
    std::thread reader;
    {
        os::log_writer log(to_file(f / "log"));
        ASSERT_TRUE(log.open());
        log.start();
        base::logger out(log);
        for (std::size_t i = 0; i < lines; ++i)
            out.summary("line");
        reader = std::thread([&] { text = file.read_all(); });
    }
    reader.join();
    const std::regex lost("\nemailrelay: warning: log: (\\d+) lines lost: too many at once\n");
    std::smatch found;
    ASSERT_TRUE(std::regex_search(text, found, lost));
    std::size_t written = 0;
    for (std::size_t at = 0; (at = text.find("info: line\n", at)) != std::string::npos; ++at)
        ++written;
    EXPECT_EQ(written + std::stoul(found[1]), lines);
}

TEST(log_writer, its_end_does_not_wait_for_ever) {
    folder f;
    pipe_file file(f / "log");
    const auto begin = std::chrono::steady_clock::now();
    {
        os::log_writer log(impatient(f / "log"));
        ASSERT_TRUE(log.open());
        log.start();
        base::logger out(log);
        for (std::size_t i = 0; i < 10'000; ++i)
            out.summary("line");
        log.stop();
        out.summary("after the end");
    }
    EXPECT_GE(std::chrono::steady_clock::now() - begin, impatient("").patience);
    const std::string text = file.read_all(); // the thread writes what it has begun, and closes the file
    EXPECT_EQ(text.find("after the end"), std::string::npos);
}

TEST(log_writer, without_its_thread_it_waits_once_for_a_reader) {
    folder f;
    pipe_file file(f / "log");
    const auto begin = std::chrono::steady_clock::now();
    std::string text;
    std::thread reader;
    {
        os::log_writer log(impatient(f / "log"));
        ASSERT_TRUE(log.open());
        base::logger out(log);
        for (std::size_t i = 0; i < 10'000; ++i)
            out.summary("line");
        EXPECT_LT(std::chrono::steady_clock::now() - begin, 1000 * impatient("").patience);
        reader = std::thread([&] { text = file.read_all(); });
        log.start();
        out.summary("last");
    }
    reader.join();
    EXPECT_TRUE(
        std::regex_search(text, std::regex("\nemailrelay: info: last\n"
                                           "emailrelay: warning: log: \\d+ lines lost: too many at once\n")));
}

TEST(log_writer, a_line_that_is_cut_off_does_not_take_the_next_one_with_it) {
    folder f;
    rlimit before{};
    ::getrlimit(RLIMIT_FSIZE, &before);
    ::signal(SIGXFSZ, SIG_IGN);
    {
        os::log_writer log(to_file(f / "log"));
        ASSERT_TRUE(log.open());
        base::logger out(log);
        rlimit small{30, before.rlim_max};
        ::setrlimit(RLIMIT_FSIZE, &small);
        out.summary("one");
        out.summary("two");
        ::setrlimit(RLIMIT_FSIZE, &before);
        out.summary("three");
    }
    EXPECT_EQ(text_of(f / "log"), "emailrelay: info: one\nemailrel\nemailrelay: info: three\n");
}

TEST(log_writer, detail_decides_about_info_lines_only) {
    os::log_settings s;
    s.enabled = true;
    os::log_writer terse(s);
    EXPECT_TRUE(terse.wants(base::severity::info, base::detail::summary));
    EXPECT_FALSE(terse.wants(base::severity::info, base::detail::verbose));
    EXPECT_TRUE(terse.wants(base::severity::warning, base::detail::summary));
    s.verbose = 1;
    os::log_writer verbose(s);
    EXPECT_TRUE(verbose.wants(base::severity::info, base::detail::verbose));
    EXPECT_FALSE(verbose.wants(base::severity::info, base::detail::extra));
    s.enabled = false;
    os::log_writer off(s);
    EXPECT_FALSE(off.wants(base::severity::error, base::detail::summary));
}

TEST(log_writer, file_is_made_for_the_group_and_appended_to) {
    folder f;
    std::ofstream(f / "old") << "kept\n";
    for (const char* name : {"new", "old"}) {
        os::log_writer log(to_file(f / name));
        ASSERT_TRUE(log.open());
        base::logger(log).warning("x");
    }
    struct stat made {};
    ASSERT_EQ(::stat((f / "new").c_str(), &made), 0);
    EXPECT_EQ(made.st_mode & 0777, 0660U);
    EXPECT_EQ(text_of(f / "old"), "kept\nemailrelay: warning: x\n");
}

TEST(log_writer, date_and_hour_in_the_file_name_are_replaced) {
    folder f;
    os::log_writer log(to_file(f / "log.%d.%h"));
    ASSERT_TRUE(log.open());
    base::logger(log).warning("x");
    EXPECT_EQ(
        std::system(("ls " + (f / "log") + ".[0-9][0-9][0-9][0-9][0-9][0-9][0-9][0-9].[0-9][0-9] >/dev/null")
                        .c_str()),
        0);
}

// In a child: privileges and the time zone are a process's own.
TEST(log_writer, a_new_hour_is_a_new_file_with_the_privilege_of_the_start) {
    folder f;
    pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
        ::setenv("TZ", "UTC0", 1);
        ::tzset();
        os::log_writer log(to_file(f / "log.%d.%h"));
        bool good = log.open().has_value() && os::adopt_user("daemon").has_value();
        log.start();
        base::logger(log).warning("first");
        log.stop();
        ::setenv("TZ", "EAST-1", 1); // an hour later
        ::tzset();
        log.start();
        base::logger(log).warning("second");
        log.stop();
        ::setenv("TZ", "UTC0", 1);
        ::tzset();
        log.start();
        base::logger(log).warning("third");
        log.stop();
        ::_exit(good ? 0 : 1);
    }
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
    std::multiset<std::string> texts;
    for (const auto& file : std::filesystem::directory_iterator(f / "")) {
        texts.insert(text_of(file.path()));
        struct stat made {};
        ASSERT_EQ(::stat(file.path().c_str(), &made), 0);
        EXPECT_EQ(made.st_mode & 0777, 0660U);
        EXPECT_EQ(made.st_uid, ::getuid());
    }
    EXPECT_EQ(texts, (std::multiset<std::string>{"emailrelay: warning: first\nemailrelay: warning: third\n",
                                                 "emailrelay: warning: second\n"}));
}

TEST(log_writer, the_old_file_goes_on_when_there_can_be_no_new_one) {
    folder f;
    ::setenv("TZ", "UTC0", 1);
    ::tzset();
    std::filesystem::create_directory(f / "sub");
    os::log_writer log(to_file(f / "sub/log.%h"));
    ASSERT_TRUE(log.open());
    std::string name = std::filesystem::directory_iterator(f / "sub")->path().filename();
    std::filesystem::rename(f / ("sub/" + name), f / "kept");
    std::filesystem::remove(f / "sub");
    base::logger(log).warning("a");
    ::setenv("TZ", "EAST-1", 1);
    ::tzset();
    base::logger(log).warning("b");
    base::logger(log).warning("c");
    ::unsetenv("TZ");
    ::tzset();
    EXPECT_TRUE(std::regex_match(text_of(f / "kept"),
                                 std::regex("emailrelay: warning: a\n"
                                            "emailrelay: warning: cannot open log file: .*/sub/log\\.\\d\\d: "
                                            "no such file or directory\n"
                                            "emailrelay: warning: b\nemailrelay: warning: c\n")))
        << text_of(f / "kept");
}

TEST(log_writer, a_file_that_cannot_be_opened_is_named) {
    os::log_writer log(to_file("/nonexistent/log"));
    auto opened = log.open();
    ASSERT_TRUE(opened.has_error());
    EXPECT_EQ(opened.error().message(), "cannot open log file: /nonexistent/log: no such file or directory");
}

os::start_request words(std::initializer_list<std::string> all) {
    os::start_request asked(*all.begin());
    for (auto word = all.begin() + 1; word != all.end(); ++word)
        asked.add(*word);
    return asked;
}

// Waits for it.
base::result<os::program_report> next_report(os::child_process& of) {
    for (;;) {
        auto heard = of.hear();
        if (heard.has_error())
            return heard.error();
        if (*heard)
            return **heard;
        pollfd readable{of.reports(), POLLIN, 0};
        if (::poll(&readable, 1, 30'000) != 1)
            return base::error{{}, "nothing heard"};
    }
}

TEST(program_starter, starts_what_it_was_told_of_at_the_beginning_and_nothing_else) {
    os::program_starter starter;
    ASSERT_TRUE(starter.begin({"/bin/sh", "/nonexistent"}));
    auto shell = starter.start(words({"/bin/sh", "-c", "exit 7"}));
    ASSERT_TRUE(shell);
    auto report = next_report(*shell);
    ASSERT_TRUE(report);
    EXPECT_EQ(report->what, os::program_report::kind::started);
    report = next_report(*shell);
    ASSERT_TRUE(report);
    EXPECT_EQ(report->what, os::program_report::kind::ended);
    EXPECT_EQ(report->value, 7);
    shell->let_go();

    auto missing = starter.start(words({"/nonexistent"}));
    ASSERT_TRUE(missing);
    EXPECT_EQ(next_report(*missing).error().message(), "exec /nonexistent: no such file or directory");
    auto other = starter.start(words({"/bin/true"}));
    ASSERT_TRUE(other);
    EXPECT_EQ(next_report(*other).error().message(), "exec /bin/true: operation not permitted");
    EXPECT_EQ(starter.start(words({"/bin/sh", std::string(200'000, 'x')})).error().message(),
              "exec /bin/sh: argument list too long");
}

// All that is printed until everybody who could print is gone.
std::string read_to_the_end(const os::descriptor& output) {
    std::string text;
    char octets[256];
    pollfd readable{output.number(), POLLIN, 0};
    while (::poll(&readable, 1, 30'000) == 1) {
        ssize_t size = ::read(output.number(), octets, sizeof octets);
        if (size <= 0)
            return text;
        text.append(octets, static_cast<std::size_t>(size));
    }
    return "still open";
}

TEST(program_starter, kills_what_was_let_fall_when_it_ends) {
    os::program_starter starter;
    ASSERT_TRUE(starter.begin({"/bin/sh"}));
    auto sleeper = starter.start(words({"/bin/sh", "-c", "trap '' TERM; sleep 1000; sleep 1000"}));
    ASSERT_TRUE(sleeper);
    ASSERT_TRUE(next_report(*sleeper));
    sleeper->terminate();
    starter.end();
    EXPECT_EQ(read_to_the_end(sleeper->take_output()), "");
    auto end = next_report(*sleeper);
    ASSERT_TRUE(end);
    EXPECT_EQ(end->what, os::program_report::kind::ended);
}

TEST(program_starter, comes_back_when_it_is_killed) {
    os::program_starter starter;
    ASSERT_TRUE(starter.begin({"/bin/sh"}));
    auto sleeper = starter.start(words({"/bin/sh", "-c", "echo $PPID; exec sleep 1000"}));
    ASSERT_TRUE(sleeper);
    ASSERT_TRUE(next_report(*sleeper));
    os::descriptor output = sleeper->take_output();
    pollfd readable{output.number(), POLLIN, 0};
    ASSERT_EQ(::poll(&readable, 1, 30'000), 1);
    char number[32] = "";
    ASSERT_GT(::read(output.number(), number, sizeof number - 1), 0);
    ASSERT_EQ(::kill(std::atoi(number), SIGKILL), 0);
    EXPECT_EQ(read_to_the_end(output), "");
    auto end = next_report(*sleeper);
    ASSERT_TRUE(end);
    EXPECT_EQ(end->what, os::program_report::kind::ended);
    EXPECT_EQ(end->value, 128 + SIGKILL);
    auto next = starter.start(words({"/bin/sh", "-c", "exit 3"}));
    ASSERT_TRUE(next);
    ASSERT_TRUE(next_report(*next));
    EXPECT_EQ(next_report(*next)->value, 3);
}

std::string answer(const std::vector<char*>& asked) {
    const std::string word = asked.front();
    if (word == "hang")
        ::pause();
    if (word == "crash")
        ::raise(SIGKILL);
    if (word == "throw")
        throw std::runtime_error("in a task");
    if (word == "count") {
        auto open = std::filesystem::directory_iterator("/proc/self/fd");
        return std::to_string(std::distance(begin(open), end(open)));
    }
    return word + "/" + asked[1];
}

TEST(task, is_run_in_a_process_of_its_own) {
    os::program_starter starter;
    ASSERT_TRUE(starter.begin("tasks", "test-tasks", answer, 4));
    auto said = [](base::result<os::child_process> asked) {
        return asked ? read_to_the_end(asked->take_output()) : asked.error().message();
    };
    EXPECT_EQ(said(starter.start(words({"one", "two"}))), "one/two");
    EXPECT_EQ(said(starter.start(words({"", ""}))), "/");
    EXPECT_EQ(said(starter.start(words({"count"}))), "5") << "three standard ones, output, the directory";
    EXPECT_EQ(said(starter.start(words({std::string(10'000, 'x'), "end"}))), std::string(4096, 'x'));
    EXPECT_EQ(said(starter.start(words({std::string(200'000, 'x')}))), "tasks: argument list too long");
    auto end_of = [&starter](const char* word) {
        auto begun = starter.start(words({word}));
        auto report = next_report(*begun);
        EXPECT_EQ(report->what, os::program_report::kind::started) << word;
        return next_report(*begun)->value;
    };
    EXPECT_EQ(end_of("crash"), 128 + SIGKILL);
    EXPECT_EQ(end_of("throw"), 128 + SIGABRT);
}

TEST(task, as_many_at_a_time_as_are_allowed) {
    os::program_starter starter;
    ASSERT_TRUE(starter.begin("tasks", "test-tasks", answer, 2));
    auto first = starter.start(words({"hang"})), second = starter.start(words({"hang"}));
    ASSERT_TRUE(next_report(*first));
    ASSERT_TRUE(next_report(*second));
    auto third = starter.start(words({"one", "two"}));
    pollfd readable{third->reports(), POLLIN, 0};
    EXPECT_EQ(::poll(&readable, 1, 100), 0);
    *first = os::child_process(); // killed
    EXPECT_EQ(next_report(*third)->what, os::program_report::kind::started);
    EXPECT_EQ(read_to_the_end(third->take_output()), "one/two");
}

TEST(pam, answers_that_are_none_are_not_taken_for_one) {
    EXPECT_TRUE(os::pam_answer("+")->has_value());
    EXPECT_EQ(os::pam_answer("-why")->error().message(), "why");
    EXPECT_TRUE(os::pam_answer("-")->has_error());
    for (const char* none : {"", "++", "+-", "x", " +"})
        EXPECT_FALSE(os::pam_answer(none)) << none;
}

TEST(pam, words_that_would_be_others_are_not_asked) {
    EXPECT_EQ(os::request_for_pam("service", {"u", "p", "a"})->packet(),
              std::string_view("service\0u\0p\0a", 14));
    EXPECT_TRUE(os::request_for_pam("service", {"", "p", "a"}).has_error());
    EXPECT_TRUE(os::request_for_pam("service", {std::string("u\0x", 3), "p", "a"}).has_error());
    EXPECT_TRUE(os::request_for_pam("service", {"u", std::string_view("p\0x", 3), "a"}).has_error());
}

// What a process in a sandbox finds, tried in a child: the number of the first check that fails, 0 if none.
template <class Checks>
int in_a_child(Checks checks) {
    pid_t child = ::fork();
    if (child == 0)
        ::_exit(checks());
    int status = 0;
    ::waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 100 + WTERMSIG(status);
}

int file_user() {
    return ::setfsuid(static_cast<uid_t>(-1));
}

int file_group() {
    return ::setfsgid(static_cast<gid_t>(-1));
}

TEST(identity, a_file_thread_remains_one_behind_a_root_scope) {
    if (::getuid() != 0)
        GTEST_SKIP() << "needs root";
    const auto started_as_root = [] {
        if (os::adopt_user("daemon").has_error() || file_user() == 0)
            return 1;
        os::prepare_file_thread();
        {
            os::root_scope scope;
            if (::geteuid() != 0 || file_user() != 0)
                return 2;
        }
        return ::geteuid() != 0 && file_user() == 0 ? 0 : 3;
    };
    EXPECT_EQ(in_a_child(started_as_root), 0);
    const auto set_gid_program = [] {
        constexpr gid_t own = 1, granted = 2;
        if (::setresgid(own, own, granted) != 0 || ::setresuid(1, 1, 1) != 0)
            return 1;
        os::prepare_file_thread();
        {
            os::root_scope scope;
            if (::getegid() != granted)
                return 2;
        }
        return ::getegid() == own && file_group() == granted ? 0 : 3;
    };
    EXPECT_EQ(in_a_child(set_gid_program), 0);
}

bool opens(const std::string& path, int flags) {
    int fd = ::open(path.c_str(), flags | O_CLOEXEC, 0600);
    if (fd >= 0)
        ::close(fd);
    return fd >= 0;
}

TEST(sandbox, system_calls_that_nobody_needs_fail_in_every_thread) {
    int found = in_a_child([] {
        std::atomic<bool> there = false, restricted = false;
        std::atomic<int> other{0};
        std::thread before([&] {
            there = true;
            there.notify_one();
            restricted.wait(false);
            other = ::socket(AF_PACKET, SOCK_RAW, 0) < 0 && errno == ENOSYS ? 1 : 2;
        });
        there.wait(false);
        if (os::restrict_calls(false).has_error())
            return 1;
        restricted = true;
        restricted.notify_one();
        before.join();
        if (other != 1)
            return 2;
        char path[] = "/bin/true";
        char* const words[] = {path, nullptr};
        if (::execve(path, words, nullptr) == 0 || errno != ENOSYS)
            return 3;
        if (::socket(AF_VSOCK, SOCK_STREAM, 0) >= 0 || ::unshare(CLONE_NEWUSER) == 0)
            return 4;
        if (::mmap(nullptr, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED)
            return 5;
        void* page = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (page == MAP_FAILED || ::mprotect(page, 4096, PROT_READ | PROT_EXEC) == 0)
            return 6;
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
        if (::fork() >= 0 || ::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) == 0 ||
            ::kill(::getppid(), 0) == 0)
            return 7;
#endif
        // What it may.
        std::thread after([] {});
        after.join();
        if (!opens("/dev/null", O_WRONLY) || ::socket(AF_INET6, SOCK_STREAM, 0) < 0)
            return 8;
        return 0;
    });
    if (found == 1)
        GTEST_SKIP() << "no seccomp here";
    EXPECT_EQ(found, 0);
}

TEST(sandbox, files_elsewhere_are_out_of_reach) {
    folder f;
    for (const char* name : {"spool", "secrets", "other"})
        ASSERT_EQ(::mkdir((f / name).c_str(), 0700), 0);
    for (const char* name : {"secrets/file", "other/file", "spool/file"})
        std::ofstream(f / name) << "x";
    int found = in_a_child([&f] {
        if (os::restrict_files({{f / "secrets", f / "missing"}, {f / "spool"}}).has_error())
            return 1;
        if (!opens(f / "spool/file", O_RDWR | O_TRUNC) ||
            !opens(f / "spool/new", O_WRONLY | O_CREAT | O_EXCL))
            return 2;
        if (::mkdir((f / "spool/box").c_str(), 0700) != 0 ||
            ::rename((f / "spool/new").c_str(), (f / "spool/box/new").c_str()) != 0 ||
            ::unlink((f / "spool/box/new").c_str()) != 0)
            return 3;
        if (!opens(f / "secrets/file", O_RDONLY) || opens(f / "secrets/file", O_WRONLY) ||
            opens(f / "secrets/new", O_WRONLY | O_CREAT))
            return 4;
        if (opens(f / "other/file", O_RDONLY) || opens(f / "other/new", O_WRONLY | O_CREAT) ||
            ::unlink((f / "other/file").c_str()) == 0)
            return 5;
        if (::rename((f / "spool/file").c_str(), (f / "other/moved").c_str()) == 0)
            return 6;
        char path[] = "/bin/true";
        char* const words[] = {path, nullptr};
        if (::execve(path, words, nullptr) == 0)
            return 7;
        return 0;
    });
    if (found == 1)
        GTEST_SKIP() << "no Landlock here";
    EXPECT_EQ(found, 0);
}

TEST(process, finds_what_is_behind_links) {
    folder f;
    ASSERT_EQ(::mkdir((f / "box").c_str(), 0700), 0);
    ASSERT_EQ(::symlink("two", (f / "one").c_str()), 0);
    ASSERT_EQ(::symlink((f / "box").c_str(), (f / "two").c_str()), 0);
    ASSERT_EQ(::symlink("nowhere", (f / "dangling").c_str()), 0);
    EXPECT_EQ(os::links_behind(f / "one"), (std::vector<std::string>{f / "two", f / "box"}));
    EXPECT_EQ(os::links_behind(f / "box"), std::vector<std::string>{});
    EXPECT_EQ(os::linked_directories_in(f / ""), (std::vector<std::string>{f / "box", f / "box"}));
    EXPECT_EQ(os::linked_directories_in(f / "missing"), std::vector<std::string>{});
}

TEST(pid_file, is_written_with_its_directory_and_removed) {
    folder f;
    {
        os::pid_file file;
        ASSERT_TRUE(file.write(f / "run/x.pid"));
        EXPECT_EQ(text_of(f / "run/x.pid"), std::to_string(::getpid()) + "\n");
        struct stat made {};
        ASSERT_EQ(::stat((f / "run/x.pid").c_str(), &made), 0);
        EXPECT_EQ(made.st_mode & 0777, 0644U);
    }
    EXPECT_EQ(os::look_at(f / "run/x.pid"), os::file_kind::missing);
}

TEST(pid_file, of_somebody_else_is_left_alone) {
    folder f;
    {
        os::pid_file file;
        ASSERT_TRUE(file.write(f / "x.pid"));
        std::ofstream(f / "x.pid") << "1\n";
    }
    EXPECT_EQ(text_of(f / "x.pid"), "1\n");
}

TEST(pid_file, replaces_a_symbolic_link_instead_of_following_it) {
    folder f;
    std::ofstream(f / "victim") << "precious\n";
    ASSERT_EQ(::symlink((f / "victim").c_str(), (f / "x.pid").c_str()), 0);
    os::pid_file file;
    ASSERT_TRUE(file.write(f / "x.pid"));
    EXPECT_EQ(text_of(f / "victim"), "precious\n");
}

TEST(process, reading_a_missing_file_says_so) {
    auto text = os::read_file("/nonexistent");
    ASSERT_TRUE(text.has_error());
    EXPECT_EQ(text.error().message(), "open /nonexistent: no such file or directory");
}
