// Whether the content of a message comes as fast as --min-data-rate asks for (docs/limits.md).
//
// Counts the time in which the client was waited for, from the beginning of the content to its end: what
// filters and disks take is not the client's fault. The chunks of a message (BDAT) are one content. The first
// minute is free; what has come quickly earns time for what comes slowly.
#pragma once

#include "net/stream.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>

namespace relay {

class content_pace {
public:
    static constexpr std::chrono::seconds grace{60};

    // Octets a second; 0 = no limit.
    explicit content_pace(std::uint64_t rate) : rate_(rate) {}

    // The next content begins.
    void begin() {
        waited_ = {};
        octets_ = 0;
    }

    // When a wait for content that begins now will have been too long.
    net::time_point too_slow_at(net::time_point now) const {
        if (rate_ == 0)
            return net::time_point::max();
        const std::chrono::seconds earned(static_cast<std::int64_t>(octets_ / rate_));
        return now + grace + earned - waited_;
    }

    // Such a wait is over, and has brought so many octets.
    void waited(std::chrono::steady_clock::duration time, std::size_t octets) {
        waited_ += time;
        octets_ += octets;
    }

private:
    std::uint64_t rate_;
    std::chrono::steady_clock::duration waited_{};
    std::uint64_t octets_ = 0;
};

} // namespace relay
