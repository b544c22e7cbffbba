// What a relay has done since it started. Each thread counts for itself; reading sums up.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace relay {

enum class counter {
    smtp_sessions,
    smtp_messages,     // accepted
    smtp_octets,       // of their content
    smtp_not_stored,   // answered 452 for reasons of our own
    forwarding_runs,   // that had something to send
    messages_sent,     // accepted by the next hop
    messages_failed,   // refused, or the session broke: `.bad`
    messages_put_back, // tried and still waiting
    connect_failures,
    pop_sessions,
    pop_logins,
    pop_failed_logins,
    pop_messages_read,
    pop_messages_deleted,
    admin_sessions,
    count_ // how many there are
};

std::string_view name_of(counter c) noexcept;

class counters {
public:
    static constexpr std::size_t size = static_cast<std::size_t>(counter::count_);

    void add(counter c, std::uint64_t n = 1) noexcept;
    std::array<std::uint64_t, size> sums() const noexcept;

private:
    static constexpr std::size_t slots = 16; // threads beyond that share them
    struct alignas(64) slot {
        std::array<std::atomic<std::uint64_t>, size> values{};
    };
    std::array<slot, slots> by_thread_;
};

} // namespace relay
