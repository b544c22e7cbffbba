// Passwords that PAM checks, off the network threads (spec/authentication.md section 8).
//
// PAM's modules may wait for a network or do nothing for ever. So they have threads of their own, shared by
// all servers of the process; who asks waits for a limited time only, and the end of the process does not
// wait for them at all.
#pragma once

#include "base/log.hpp"
#include "base/result.hpp"
#include "net/worker.hpp"
#include "sasl/server.hpp"

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace relay {

class password_check {
public:
    // What is asked on the threads; PAM in the program.
    using checker = std::function<base::result<void>(const std::string& id, std::string_view password)>;

    explicit password_check(checker ask, std::size_t threads = 8,
                            std::chrono::milliseconds patience = std::chrono::seconds(60));
    ~password_check(); // checks that are under way are left behind
    password_check(const password_check&) = delete;
    password_check& operator=(const password_check&) = delete;

    // Nothing when there was no answer in time, or `wake` was notified: neither right nor wrong. Otherwise
    // the verdict; the log has "pam error: ..." for a wrong one. Called on the thread of `on`, whose `wake`
    // is.
    net::awaitable<std::optional<sasl::verdict>> check(net::worker& on, net::event& wake,
                                                       sasl::ask_password asked, base::logger log);

    struct shared; // with the threads, which may outlive this

private:
    std::shared_ptr<shared> shared_;
    std::chrono::milliseconds patience_;
};

} // namespace relay
