// Who is asked about each recipient (spec/filters-and-verifiers.md section 7).
//
// A verifier object belongs to one SMTP session and lives on its worker, so it may keep a connection over the
// recipients of a transaction. It answers one question at a time, within services::timeout.
#pragma once

#include "base/log.hpp"
#include "net/background.hpp"
#include "net/stream.hpp"
#include "net/worker.hpp"

#include <chrono>
#include <functional>
#include <memory>
#include <string>

namespace verify {

// What is known when the question is asked. Text from the peer, as it came.
struct request {
    std::string address;   // RCPT: forward-path in A-labels, without brackets; VRFY: the argument
    std::string from;      // reverse-path; empty for VRFY
    std::string client;    // "ip:port", IPv6 "ip.port"
    std::string domain;    // ours
    std::string mechanism; // of authentication in lower case, or "none"
    std::string identity;  // authenticated id, or trust keyword
    base::logger log;
};

struct verdict {
    enum class kind {
        remote,           // valid; send it to `address`
        local,            // valid; mailbox `address`
        rejected,         // 550
        rejected_for_now, // 450
        abort_session,    // the connection is closed without a reply
    };
    kind what = kind::remote;
    std::string address;   // remote: empty for the address as given
    std::string full_name; // local, for VRFY
    std::string response;  // rejected: text behind the code. Raw text from outside; its reader escapes it
    std::string reason;    // rejected: for the log. Raw too

    static verdict reject(std::string response, std::string reason) {
        return {kind::rejected, {}, {}, std::move(response), std::move(reason)};
    }
    static verdict reject_for_now(std::string response, std::string reason) {
        return {kind::rejected_for_now, {}, {}, std::move(response), std::move(reason)};
    }
};

class verifier {
public:
    virtual ~verifier() = default;

    // Never throws: what goes wrong is a rejection.
    virtual net::awaitable<verdict> check(request asked) = 0;

    // The check that is going on ends soon, with whatever verdict; nobody will look at it.
    virtual void interrupt() {}
};

// What verifiers work with; all outlive them.
struct services {
    net::worker& on;
    net::background& work;        // for work that is short
    net::background& lookups;     // for account data bases, which may take their time
    std::chrono::seconds timeout; // --filter-timeout; 0 = none
};

// Makes a verifier for one session; made from the configuration once. Used by all threads at a time.
using maker = std::function<std::unique_ptr<verifier>(const services&)>;

} // namespace verify
