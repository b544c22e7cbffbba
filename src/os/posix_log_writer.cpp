#include "os/log_writer.hpp"

#include "os/clock.hpp"
#include "os/identity.hpp"
#include "os/patient_write.hpp"
#include "os/thread_name.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <mutex>
#include <optional>
#include <span>
#include <utility>
#include <vector>

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

struct entry {
    base::severity level;
    std::string line;
};

} // namespace

struct log_writer::impl {
    explicit impl(log_settings s) : settings(std::move(s)), stderr_open(settings.to_stderr) {}
    ~impl();

    base::result<void> open();
    void begin();
    bool end(); // false: given up
    void take(entry&& line);
    void work();

    const log_settings settings;
    std::atomic<bool> stderr_open;

private:
    void emit(std::span<const entry> lines, std::optional<std::chrono::milliseconds> patience);
    void put(std::string text, std::optional<std::chrono::milliseconds> patience);
    void change_file(std::optional<std::chrono::milliseconds> patience);
    std::string file_name_now() const;

    std::mutex outputs_; // guards these
    int file_ = -1;
    std::string file_name_;
    bool hangs_ = false;       // there was no room in time: the next line is not waited for
    bool line_is_cut_ = false; // the last line is not whole

    std::mutex queueing_; // guards these
    std::condition_variable wake_, ended_;
    std::vector<entry> queue_;
    std::size_t lost_ = 0;
    bool urgent_ = false;
    bool has_thread_ = false;
    bool stopping_ = false;
    bool given_up_ = false;
};

log_writer::impl::~impl() {
    if (file_ >= 0)
        ::close(file_);
    if (settings.to_syslog)
        ::closelog();
}

std::string log_writer::impl::file_name_now() const {
    base::calendar_time now = local_now();
    std::string name = settings.file;
    replace_all(name, "%d", fmt::format("{:04}{:02}{:02}", now.year, now.month, now.day));
    replace_all(name, "%h", fmt::format("{:02}", now.hour));
    return name;
}

base::result<void> log_writer::impl::open() {
    if (!settings.enabled)
        return {};
    if (settings.to_syslog)
        ::openlog(settings.layout.program.c_str(), LOG_PID, syslog_facility(settings.syslog_facility));
    if (settings.file.empty())
        return {};
    file_name_ = file_name_now();
    file_ = open_log_file(file_name_);
    if (file_ < 0)
        return base::last_error("cannot open log file: " + file_name_);
    return {};
}

void log_writer::impl::begin() {
    std::lock_guard lock(queueing_);
    has_thread_ = true;
    stopping_ = false;
}

bool log_writer::impl::end() {
    std::unique_lock lock(queueing_);
    stopping_ = true;
    wake_.notify_all();
    given_up_ = !ended_.wait_for(lock, settings.patience, [this] { return !has_thread_; });
    return !given_up_;
}

void log_writer::impl::take(entry&& line) {
    {
        std::lock_guard lock(queueing_);
        if (given_up_)
            return;
        if (has_thread_) {
            if (queue_.size() >= longest_queue) {
                ++lost_;
                return;
            }
            bool wake = queue_.empty();
            if (line.level >= base::severity::warning && !urgent_)
                wake = urgent_ = true;
            queue_.push_back(std::move(line));
            if (wake)
                wake_.notify_one();
            return;
        }
    }
    emit(std::span(&line, 1), settings.patience);
}

void log_writer::impl::work() {
    name_thread("log");
    prepare_file_thread();
    std::vector<entry> batch;
    for (;;) {
        std::size_t lost = 0;
        {
            std::unique_lock lock(queueing_);
            wake_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
            if (given_up_)
                return;
            if (queue_.empty() && lost_ == 0) {
                has_thread_ = false;
                ended_.notify_all();
                return;
            }
            wake_.wait_for(lock, gathering, [this] { return stopping_ || urgent_; });
            batch.swap(queue_);
            urgent_ = false;
            lost = std::exchange(lost_, 0);
        }
        if (lost > 0)
            batch.push_back({base::severity::warning, settings.layout.program +
                                                          ": warning: log: " + std::to_string(lost) +
                                                          " lines lost: too many at once"});
        emit(batch, std::nullopt);
        batch.clear();
    }
}

void log_writer::impl::emit(std::span<const entry> lines, std::optional<std::chrono::milliseconds> patience) {
    std::lock_guard lock(outputs_);
    if (file_ >= 0)
        change_file(patience);
    std::string text;
    for (const entry& one : lines) {
        if (file_ >= 0 || (stderr_open && (!settings.quiet_stderr || one.level >= base::severity::warning)))
            text.append(one.line).append("\n");
        if (settings.to_syslog)
            ::syslog(syslog_priority(one.level), "%s", one.line.c_str());
    }
    if (!text.empty())
        put(std::move(text), patience);
}

// What cannot be written is lost. A line that was cut off does not take the next one with it.
void log_writer::impl::put(std::string text, std::optional<std::chrono::milliseconds> patience) {
    if (line_is_cut_)
        text.insert(0, "\n");
    if (hangs_ && patience)
        patience = std::chrono::milliseconds(0);
    const std::size_t done = write_patiently(file_ >= 0 ? file_ : STDERR_FILENO, text, patience);
    hangs_ = done < text.size();
    if (done > 0)
        line_is_cut_ = text[done - 1] != '\n';
    if (!hangs_ || !patience) // the thread waits as long as it takes: a disk is full, or the reader has gone
        return;
    std::lock_guard lock(queueing_);
    lost_ += static_cast<std::size_t>(
        std::count(text.begin() + static_cast<std::ptrdiff_t>(done), text.end(), '\n'));
}

// To the one whose name holds now.
void log_writer::impl::change_file(std::optional<std::chrono::milliseconds> patience) {
    if (settings.file.find('%') == std::string::npos)
        return;
    std::string name = file_name_now();
    if (name == file_name_)
        return;
    file_name_ = std::move(name);
    int next = open_log_file(file_name_);
    if (next >= 0) {
        ::close(file_);
        file_ = next;
        line_is_cut_ = false;
    } else { // the old file goes on
        base::error why = base::last_error("cannot open log file: " + file_name_);
        put(settings.layout.program + ": warning: " + why.message() + "\n", patience);
    }
}

log_writer::log_writer(log_settings settings) : impl_(std::make_shared<impl>(std::move(settings))) {}

log_writer::~log_writer() {
    stop();
}

base::result<void> log_writer::open() {
    return impl_->open();
}

void log_writer::start() {
    if (!impl_->settings.enabled || thread_.joinable())
        return;
    impl_->begin();
    thread_ = std::thread([shared = impl_] { shared->work(); });
}

void log_writer::stop() {
    if (!thread_.joinable())
        return;
    if (impl_->end())
        thread_.join();
    else
        thread_.detach();
}

void log_writer::stop_stderr() {
    impl_->stderr_open = false;
}

bool log_writer::wants(base::severity level, base::detail amount) const noexcept {
    const log_settings& settings = impl_->settings;
    if (!settings.enabled || level == base::severity::debug)
        return false;
    return level != base::severity::info || static_cast<int>(amount) <= settings.verbose;
}

void log_writer::write(base::severity level, const base::log_context& context, std::string_view text) {
    const base::log_layout& layout = impl_->settings.layout;
    const std::string time = layout.time ? log_timestamp(local_now()) : std::string();
    impl_->take({level, base::format_log_line(layout, time, level, context, text)});
}

} // namespace os
