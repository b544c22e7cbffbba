#pragma once

#include <functional>

namespace smtp {

// An action of both engines, while somebody logs in: some milliseconds of computing, for another thread. The
// engine stays where it is meanwhile. Answer: computed().
struct compute {
    std::function<void()> job;
};

} // namespace smtp
