// Immediate forwarding: a message is sent on while its submitter waits for the reply to the end of data
// (spec/smtp-server.md section 7, "Immediate forwarding").
//
// One connection to the next hop, made for the first message and kept for the SMTP session that owns this.
// Lives on the session's worker.
#pragma once

#include "base/log.hpp"
#include "net/worker.hpp"
#include "relay/blocking.hpp"
#include "relay/client_session.hpp"
#include "relay/forwarder.hpp"
#include "smtp/server_engine.hpp"
#include "spool/store.hpp"

#include <memory>
#include <string>

namespace relay {

class immediate_forwarding {
public:
    // All outlive it.
    immediate_forwarding(const forwarder_settings& settings, spool::store& store, blocking& work,
                         net::worker& on, const base::logger& log);

    // Forwards the message, which has been committed, and says what to tell its submitter.
    net::awaitable<smtp::commit_outcome> forward(std::string id);

    void drop();      // RSET: the connection goes, without QUIT
    void interrupt(); // ends a wait for the next hop

private:
    net::awaitable<base::result<void>> connect();

    const forwarder_settings& settings_;
    spool::store& store_;
    blocking& work_;
    net::worker& worker_;
    const base::logger& log_;
    std::unique_ptr<client_session> connection_;
    bool interrupted_ = false;
};

} // namespace relay
