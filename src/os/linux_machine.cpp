#include "os/machine.hpp"

#include "base/text.hpp"
#include "os/process.hpp"

#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include <random>

namespace os {

std::uint64_t process_id() {
    return static_cast<std::uint64_t>(::getpid());
}

std::string boot_id() {
    auto text = read_file("/proc/sys/kernel/random/boot_id");
    return text.has_value() ? std::string(base::trim(*text)) : std::string();
}

std::uint64_t random_number() {
    std::uint64_t number = 0;
    if (::getrandom(&number, sizeof number, 0) == static_cast<ssize_t>(sizeof number))
        return number;
    std::random_device device;
    return (std::uint64_t{device()} << 32) | device();
}

std::int64_t nanoseconds_now() {
    timespec now{};
    ::clock_gettime(CLOCK_REALTIME, &now);
    return std::int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

} // namespace os
