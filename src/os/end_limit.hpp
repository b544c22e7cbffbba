// The process ends in time, whatever one of its threads hangs on.
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>

namespace os {

// While it lives: ends the process after `most` by the signal's default action, or with the exit code if the
// signal is 0. For what cannot be given up by itself: a file server that does not answer, a process that is
// stopped. Nothing is cleaned up then, as after a crash. Where there can be no further thread there is no
// limit.
class end_limit {
public:
    end_limit(std::chrono::seconds most, int signal, int exit_code);
    ~end_limit();
    end_limit(const end_limit&) = delete;
    end_limit& operator=(const end_limit&) = delete;

private:
    std::mutex mutex_;
    std::condition_variable wake_;
    bool over_ = false;
    std::thread thread_;
};

} // namespace os
