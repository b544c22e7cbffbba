#include "os/end_limit.hpp"

#include "os/process.hpp"
#include "os/thread_name.hpp"

#include <unistd.h>

#include <system_error>

namespace os {

end_limit::end_limit(std::chrono::seconds most, int signal, int exit_code) {
    auto watch = [this, most, signal, exit_code] {
        name_thread("end");
        std::unique_lock lock(mutex_);
        if (wake_.wait_for(lock, most, [this] { return over_; }))
            return;
        if (signal != 0)
            die_by(signal);
        ::_exit(exit_code);
    };
    try {
        thread_ = std::thread(watch);
    } catch (const std::system_error&) {
        // the system's limit on threads
    }
}

end_limit::~end_limit() {
    {
        std::lock_guard lock(mutex_);
        over_ = true;
    }
    wake_.notify_all();
    if (thread_.joinable())
        thread_.join();
}

} // namespace os
