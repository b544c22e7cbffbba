#include "relay/counters.hpp"

namespace relay {

namespace {

constexpr std::array<std::string_view, counters::size> names{
    "smtp_sessions", "smtp_messages",     "smtp_octets",       "smtp_not_stored",      "forwarding_runs",
    "messages_sent", "messages_failed",   "messages_put_back", "connect_failures",     "pop_sessions",
    "pop_logins",    "pop_failed_logins", "pop_messages_read", "pop_messages_deleted", "admin_sessions"};
static_assert(!names.back().empty());

std::size_t number_of_this_thread() noexcept {
    static std::atomic<std::size_t> last{0};
    thread_local const std::size_t mine = last++;
    return mine;
}

} // namespace

std::string_view name_of(counter c) noexcept {
    return names[static_cast<std::size_t>(c)];
}

void counters::add(counter c, std::uint64_t n) noexcept {
    slot& mine = by_thread_[number_of_this_thread() % slots];
    mine.values[static_cast<std::size_t>(c)].fetch_add(n, std::memory_order_relaxed);
}

std::array<std::uint64_t, counters::size> counters::sums() const noexcept {
    std::array<std::uint64_t, size> all{};
    for (const slot& one : by_thread_)
        for (std::size_t i = 0; i < size; ++i)
            all[i] += one.values[i].load(std::memory_order_relaxed);
    return all;
}

} // namespace relay
