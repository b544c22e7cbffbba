// Passwords that PAM checks (spec/authentication.md section 8).
//
// Each is checked by a process of its own, which may be slow or crash without harm to others (os/pam.hpp);
// who asks waits for a limited time only, and what has not answered by then is killed.
#pragma once

#include "base/log.hpp"
#include "net/worker.hpp"
#include "os/program_starter.hpp"
#include "sasl/server.hpp"

#include <chrono>
#include <optional>

namespace relay {

class password_check {
public:
    // `pam` runs os::ask_pam. It outlives this.
    explicit password_check(const os::program_starter& pam,
                            std::chrono::milliseconds patience = std::chrono::seconds(60))
        : pam_(pam), patience_(patience) {}

    // Nothing when there was no answer in time, or `wake` was notified, or there can be none: neither right
    // nor wrong. Otherwise the verdict. The log has "pam error: ..." for all but a right one, and its context
    // the client's address. Called on the thread of `on`, whose `wake` is.
    net::awaitable<std::optional<sasl::verdict>> check(net::worker& on, net::event& wake,
                                                       sasl::ask_password asked, base::logger log);

private:
    const os::program_starter& pam_;
    const std::chrono::milliseconds patience_;
};

} // namespace relay
