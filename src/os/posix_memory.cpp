// The state is the process's, as the handler of failed allocations is (std::set_new_handler).
#include "os/memory.hpp"

#include <time.h>

#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <new>

namespace os {

namespace {

// More than what sessions take between two looks at memory_is_short(). Never touched, so it costs addresses
// alone.
constexpr std::size_t reserve_size = 8 << 20;
constexpr timespec before_next_attempt{0, 10'000'000};

std::atomic<void*> reserve{nullptr};
std::atomic<bool> is_short{false};
thread_local unsigned may_fail = 0;

void memory_has_run_out() {
    if (void* block = reserve.exchange(nullptr)) {
        is_short = true;
        std::free(block);
    } else if (may_fail > 0) {
        throw std::bad_alloc();
    } else {
        ::nanosleep(&before_next_attempt, nullptr);
    }
}

// Not by new, which would ask for the reserve.
bool fill_reserve() noexcept {
    void* block = std::malloc(reserve_size);
    if (!block)
        return false;
    void* none = nullptr;
    if (!reserve.compare_exchange_strong(none, block))
        std::free(block); // another thread was first
    return true;
}

} // namespace

void keep_memory_in_reserve() {
    if (fill_reserve())
        std::set_new_handler(memory_has_run_out);
}

bool memory_is_short() noexcept {
    if (!is_short.load(std::memory_order_relaxed))
        return false;
    if (!fill_reserve())
        return true;
    is_short = false;
    return false;
}

allocations_may_fail::allocations_may_fail() noexcept {
    ++may_fail;
}

allocations_may_fail::~allocations_may_fail() {
    --may_fail;
}

} // namespace os
