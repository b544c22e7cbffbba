// Listening sockets (spec/process-and-logging.md section 6).
//
// Sockets are bound before the process gives up root and before there are threads; accepting begins with
// accept().
#pragma once

#include "base/log.hpp"
#include "base/result.hpp"
#include "net/stream.hpp"

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace net {

class worker;
class worker_group;

class listener {
public:
    // `address` is an IPv4 or IPv6 literal (brackets and %scope allowed), an absolute path (unix-domain) or
    // "fd#N"; `port` is for the first kind. Errors: "socket bind error: address already in use", "address
    // error: ...", "invalid address or interface name: foo/bar", "socket error: no bound address on fd N".
    static base::result<listener> open(worker& on, const std::string& address, std::uint16_t port);

    listener(listener&&) noexcept;
    listener& operator=(listener&&) noexcept;
    ~listener(); // closes; removes the file of a unix-domain socket that it has made

    const endpoint& local() const noexcept;

    // Hands each connection to `handler` on the thread of the worker that it is to live on. When descriptors
    // or memory run out accepting pauses for a moment. The handler must not throw.
    using handler = std::function<void(worker&, stream)>;
    void accept(worker_group& workers, handler h, const base::logger& log);
    void stop(); // no further connections

private:
    struct impl;
    explicit listener(std::shared_ptr<impl> i);
    std::shared_ptr<impl> impl_; // shared with the accepting coroutine
};

} // namespace net
