#include "verify/verifier.hpp"

namespace verify {

net::time_point deadline_after(std::chrono::seconds timeout) {
    return timeout.count() > 0 ? std::chrono::steady_clock::now() + timeout : net::time_point::max();
}

} // namespace verify
