// Whom work is told of as it goes: the counters, and those who listen for events (spec/admin.md section 4).
#pragma once

#include "net/activity.hpp"
#include "relay/counters.hpp"

#include <initializer_list>
#include <string_view>

namespace relay {

// Small; copied. What it points to outlives all work. Either may be missing.
struct observer {
    counters* counts = nullptr;
    net::event_bus* events = nullptr;

    void count(counter c, std::uint64_t n = 1) const noexcept {
        if (counts)
            counts->add(c, n);
    }
    void event(std::initializer_list<std::string_view> parts) const {
        if (events)
            events->publish(parts);
    }
    bool is_heard() const noexcept { return events && events->has_readers(); }
    observer silent() const noexcept { return {counts, nullptr}; }
};

} // namespace relay
