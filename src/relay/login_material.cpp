#include "relay/login_material.hpp"

#include "os/clock.hpp"
#include "os/machine.hpp"

#include <fmt/format.h>

#include <utility>

namespace relay {

std::string fresh_text() {
    return fmt::format("{}{}.{}", os::random_number(), os::random_number(), os::seconds_now());
}

net::awaitable<void> compute(blocking& work, std::function<void()> job) {
    co_await work.run(std::move(job));
}

} // namespace relay
