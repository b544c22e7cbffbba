// Sends messages to next hops, one after the other: finds out where a message goes, opens the connection for
// that, keeps it for as long as the next one goes there too, and settles in the spool what became of each.
//
// Used by a forwarding run, and by an SMTP session that forwards at once. Lives on one worker.
#pragma once

#include "base/log.hpp"
#include "mail/envelope.hpp"
#include "mail/next_hop.hpp"
#include "net/worker.hpp"
#include "relay/blocking.hpp"
#include "relay/client_session.hpp"
#include "relay/observer.hpp"
#include "spool/store.hpp"

#include <memory>
#include <string>

namespace relay {

class message_sender {
public:
    // All outlive it. `to`: where messages go whose envelopes do not say.
    message_sender(const mail::next_hop& to, const client_session_settings& client, spool::store& store,
                   blocking& work, net::worker& on, const base::logger& log, observer watch);
    ~message_sender();
    message_sender(const message_sender&) = delete;
    message_sender& operator=(const message_sender&) = delete;

    struct outcome {
        enum class kind {
            answered,      // `done` is the next hop's last word; sent, or failed with that
            not_connected, // `error` says why; put back as it was
            broken // the session ended with `error`; failed with that, or put back if it was not begun
        };
        kind what;
        smtp::message_done done;
        base::error error;   // its text is fit for the log
        bool failed = false; // broken: the message has failed with it
    };
    net::awaitable<outcome> send(outgoing_message message);

    bool connected() const;
    std::string peer() const; // as displayed; empty without a connection

    net::awaitable<void> quit(); // ends the connection, if there is one, with QUIT
    void drop();                 // or without

    void stop_connecting(); // a wait for a connection ends; one that is there goes on
    void interrupt();       // every wait ends, for good; a message in hand is put back

private:
    // What one connection serves: messages for the same address, sent under the same account.
    struct route {
        mail::next_hop to;
        std::string address;  // as the envelope has it; empty: the default
        std::string selector; // ClientAccountSelector
        bool operator==(const route&) const = default;
    };

    net::awaitable<outcome> carry(outgoing_message message);
    void tell(const std::string& id, const outcome& how) const;
    base::result<route> route_of(const mail::envelope& envelope) const;
    net::awaitable<base::result<void>> connect(const route& wanted, const std::string& id);

    const mail::next_hop& default_;
    const client_session_settings& client_;
    spool::store& store_;
    blocking& work_;
    net::worker& worker_;
    const base::logger& log_;
    observer watch_;
    std::unique_ptr<client_session> connection_;
    route connected_for_;
    bool interrupted_ = false;
};

} // namespace relay
