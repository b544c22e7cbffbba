// Where log lines go: stderr or a file, and syslog (spec/process-and-logging.md sections 2 and 3).
//
// write() formats the line and hands it to a thread; sessions never wait for a disk or for syslogd. The
// thread lets lines gather for a moment, so that a busy relay does not wake it for each; warnings and errors
// are written at once, with what came before them. The queue is bounded: when it is full new lines are
// counted instead of kept, and one line says how many were lost. stop() (and the destructor) writes all that
// is queued, but does not wait for ever: stderr may be a pipe that nobody reads, a file's server or syslogd
// may not answer.
#pragma once

#include "base/log.hpp"
#include "base/log_line.hpp"
#include "base/result.hpp"

#include <chrono>
#include <memory>
#include <string>
#include <thread>

namespace os {

struct log_settings {
    bool enabled = false; // --log
    int verbose = 0;      // 0 to 2
    base::log_layout layout;
    bool to_stderr = true;
    std::string file; // instead of stderr; %d and %h are replaced
    bool to_syslog = false;
    std::string syslog_facility = "mail";
    bool quiet_stderr = false; // only warnings and errors reach stderr (syslog on, stderr about to be closed)
    std::chrono::milliseconds patience{5000}; // with who reads the lines, where somebody waits for that
};

class log_writer final : public base::log_sink {
public:
    explicit log_writer(log_settings settings);
    ~log_writer() override;
    log_writer(const log_writer&) = delete;
    log_writer& operator=(const log_writer&) = delete;

    // Opens file and syslog. Error: "cannot open log file: X".
    base::result<void> open();

    // Starts the thread. Until then, and after stop(), lines are written at once by the caller: start-up, a
    // fork. The caller does not wait for a reader longer than `patience`; lines without room are counted as
    // lost.
    void start();
    // After `patience` what is still queued is given up, and so are lines that come later.
    void stop();

    void stop_stderr(); // stderr is about to be closed

    bool wants(base::severity level, base::detail amount) const noexcept override;
    void write(base::severity level, const base::log_context& context, std::string_view text) override;

private:
    struct impl;
    std::shared_ptr<impl> impl_; // shared with the thread, which stays behind if what it writes to hangs
    std::thread thread_;
};

} // namespace os
