// Immediate forwarding: a message is sent on while its submitter waits for the reply to the end of data
// (spec/smtp-server.md section 7, "Immediate forwarding").
//
// One connection to the next hop, made for the first message and kept for the SMTP session that owns this.
// Lives on the session's worker.
#pragma once

#include "base/log.hpp"
#include "net/worker.hpp"
#include "relay/blocking.hpp"
#include "relay/forwarder.hpp"
#include "relay/message_sender.hpp"
#include "relay/observer.hpp"
#include "smtp/server_engine.hpp"
#include "spool/store.hpp"

#include <string>

namespace relay {

class immediate_forwarding {
public:
    // All outlive it.
    immediate_forwarding(const forwarder_settings& settings, spool::store& store, blocking& work,
                         net::worker& on, const base::logger& log, observer watch);

    // Forwards the message, which has been committed, and says what to tell its submitter.
    net::awaitable<smtp::commit_outcome> forward(std::string id);

    void drop() { sender_.drop(); }           // RSET: the connection goes, without QUIT
    void interrupt() { sender_.interrupt(); } // ends a wait for the next hop

private:
    spool::store& store_;
    blocking& work_;
    const base::logger& log_;
    message_sender sender_;
};

} // namespace relay
