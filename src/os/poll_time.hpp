// A limit of time as poll(2) takes it.
#pragma once

#include <algorithm>
#include <chrono>
#include <climits>

namespace os {

// time_point::max(), not an optional one, which g++ 12 takes for uninitialised when it is inlined.
inline constexpr auto no_limit = std::chrono::steady_clock::time_point::max();

// Milliseconds from now, rounded up; -1, which is for ever, without a limit.
inline int poll_time(std::chrono::steady_clock::time_point limit) {
    if (limit == no_limit)
        return -1;
    const auto rest =
        std::chrono::ceil<std::chrono::milliseconds>(limit - std::chrono::steady_clock::now()).count();
    return static_cast<int>(std::clamp<long long>(rest, 0, INT_MAX));
}

} // namespace os
