#include "filter/pause.hpp"

#include "filter/exit_code.hpp"

namespace filter {

fixed_exit::fixed_exit(unsigned code) : code_(code), name_("exit:" + std::to_string(code)) {}

net::awaitable<result> fixed_exit::run(const job& now) {
    result found = result_of_exit(now.what, code_);
    if (found.what == result::outcome::fail) {
        found.response = "rejected";
        found.reason = name_;
    }
    co_return found;
}

pause::pause(std::chrono::milliseconds time, const services& with)
    : time_(time), name_("sleepms:" + std::to_string(time.count())), wake_(with.on) {}

net::awaitable<result> pause::run(const job&) {
    co_await wake_.wait(std::chrono::steady_clock::now() + time_);
    co_return result::ok();
}

} // namespace filter
