#include "os/log_writer.hpp"

#include "os/clock.hpp"
#include "os/identity.hpp"
#include "os/thread_name.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <utility>

namespace os {

namespace {

constexpr std::size_t longest_queue = 100'000; // lines
constexpr std::chrono::milliseconds gathering{10};

int syslog_facility(const std::string& name) {
    if (name == "user")
        return LOG_USER;
    if (name == "daemon")
        return LOG_DAEMON;
    if (name.size() == 6 && name.starts_with("local") && name[5] >= '0' && name[5] <= '7')
        return LOG_LOCAL0 + ((name[5] - '0') << 3);
    return LOG_MAIL;
}

int syslog_priority(base::severity level) {
    switch (level) {
    case base::severity::error:
        return LOG_ERR;
    case base::severity::warning:
        return LOG_WARNING;
    default:
        return LOG_INFO;
    }
}

// With the privilege that the process started with. The umask counts for a thread that is not prepared for
// file work.
int open_log_file(const std::string& name) {
    root_scope privileged;
    mode_t before = ::umask(007);
    int fd = ::open(name.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0666);
    ::umask(before);
    return fd;
}

void replace_all(std::string& text, std::string_view key, std::string_view value) {
    for (std::size_t at = 0; (at = text.find(key, at)) != std::string::npos; at += value.size())
        text.replace(at, key.size(), value);
}

void write_all(int fd, std::string_view text) {
    while (!text.empty()) {
        ssize_t n = ::write(fd, text.data(), text.size());
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return; // nowhere to complain to
        text.remove_prefix(static_cast<std::size_t>(n));
    }
}

} // namespace

log_writer::log_writer(log_settings settings) : settings_(std::move(settings)) {
    if (!settings_.to_stderr)
        stderr_open_ = false;
}

log_writer::~log_writer() {
    stop();
    if (file_ >= 0)
        ::close(file_);
    if (settings_.to_syslog)
        ::closelog();
}

std::string log_writer::file_name_now() const {
    base::calendar_time now = local_now();
    std::string name = settings_.file;
    replace_all(name, "%d", fmt::format("{:04}{:02}{:02}", now.year, now.month, now.day));
    replace_all(name, "%h", fmt::format("{:02}", now.hour));
    return name;
}

base::result<void> log_writer::open() {
    if (!settings_.enabled)
        return {};
    if (settings_.to_syslog)
        ::openlog(settings_.layout.program.c_str(), LOG_PID, syslog_facility(settings_.syslog_facility));
    if (settings_.file.empty())
        return {};
    file_name_ = file_name_now();
    file_ = open_log_file(file_name_);
    if (file_ < 0)
        return base::last_error("cannot open log file: " + file_name_);
    return {};
}

void log_writer::start() {
    std::lock_guard lock(mutex_);
    if (!settings_.enabled || thread_.joinable())
        return;
    stopping_ = false;
    thread_ = std::thread([this] { work(); });
    threaded_ = true;
}

void log_writer::stop() {
    {
        std::lock_guard lock(mutex_);
        if (!thread_.joinable())
            return;
        stopping_ = true;
        threaded_ = false;
    }
    wake_.notify_all();
    thread_.join();
}

void log_writer::stop_stderr() {
    stderr_open_ = false;
}

bool log_writer::wants(base::severity level, base::detail amount) const noexcept {
    if (!settings_.enabled || level == base::severity::debug)
        return false;
    return level != base::severity::info || static_cast<int>(amount) <= settings_.verbose;
}

void log_writer::write(base::severity level, const base::log_context& context, std::string_view text) {
    bool time = settings_.layout.time;
    entry line{level,
               base::format_log_line(settings_.layout, time ? log_timestamp(local_now()) : std::string(),
                                     level, context, text)};
    if (threaded_) {
        std::lock_guard lock(mutex_);
        if (!stopping_) {
            if (queue_.size() >= longest_queue) {
                ++lost_;
                return;
            }
            bool wake = queue_.empty();
            if (level >= base::severity::warning && !urgent_)
                wake = urgent_ = true;
            queue_.push_back(std::move(line));
            if (wake)
                wake_.notify_one();
            return;
        }
    }
    emit(std::span(&line, 1));
}

void log_writer::work() {
    name_thread("log");
    prepare_file_thread();
    std::vector<entry> batch;
    for (;;) {
        std::size_t lost = 0;
        {
            std::unique_lock lock(mutex_);
            wake_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
            if (queue_.empty())
                return;
            wake_.wait_for(lock, gathering, [this] { return stopping_ || urgent_; });
            batch.swap(queue_);
            urgent_ = false;
            lost = std::exchange(lost_, 0);
        }
        if (lost > 0)
            batch.push_back({base::severity::warning, settings_.layout.program +
                                                          ": warning: log: " + std::to_string(lost) +
                                                          " lines lost: too many at once"});
        emit(batch);
        batch.clear();
    }
}

void log_writer::emit(std::span<const entry> lines) {
    std::lock_guard lock(emit_mutex_);
    if (file_ >= 0)
        change_file();
    std::string text;
    for (const entry& one : lines) {
        if (file_ >= 0 || (stderr_open_ && (!settings_.quiet_stderr || one.level >= base::severity::warning)))
            text.append(one.line).append("\n");
        if (settings_.to_syslog)
            ::syslog(syslog_priority(one.level), "%s", one.line.c_str());
    }
    if (!text.empty())
        write_all(file_ >= 0 ? file_ : STDERR_FILENO, text);
}

// To the one whose name holds now.
void log_writer::change_file() {
    if (settings_.file.find('%') == std::string::npos)
        return;
    std::string name = file_name_now();
    if (name == file_name_)
        return;
    file_name_ = std::move(name);
    int next = open_log_file(file_name_);
    if (next >= 0) {
        ::close(file_);
        file_ = next;
    } else { // the old file goes on
        base::error why = base::last_error("cannot open log file: " + file_name_);
        write_all(file_, settings_.layout.program + ": warning: " + why.message() + "\n");
    }
}

} // namespace os
