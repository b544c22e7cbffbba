// Sends messages to next hops, one after the other: finds out where a message goes, opens the connection for
// that, keeps it for as long as the next one goes there too, and settles in the spool what became of each.
//
// Used by a forwarding run, and by an SMTP session that forwards at once. Lives on one worker.
#pragma once

#include "base/log.hpp"
#include "mail/envelope.hpp"
#include "mail/next_hop.hpp"
#include "net/pending.hpp"
#include "net/worker.hpp"
#include "relay/blocking.hpp"
#include "relay/client_session.hpp"
#include "relay/filter_settings.hpp"
#include "relay/observer.hpp"
#include "relay/outgoing_filters.hpp"
#include "spool/store.hpp"

#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace relay {

class message_sender {
public:
    // All outlive it. `to`: where messages go whose envelopes do not say.
    message_sender(const mail::next_hop& to, const client_session_settings& client,
                   const filter_settings& filters, spool::store& store, blocking& work, net::worker& on,
                   const base::logger& log, observer watch);
    ~message_sender();
    message_sender(const message_sender&) = delete;
    message_sender& operator=(const message_sender&) = delete;

    struct outcome {
        enum class kind {
            answered,      // `done` is the next hop's last word; sent, or failed with that
            not_connected, // `error` says why; put back as it was
            broken,       // the session ended with `error`; failed with that, or put back if it was not begun
            filtered,     // failed by a filter; `response` is what a submitter who waits is told
            abandoned,    // put back by a filter, or taken away by it
            out_of_reach, // put back: its own address cannot be connected; the log has said so
        };
        kind what;
        smtp::message_done done{};
        base::error error{};    // its text is fit for the log
        bool failed = false;    // broken: the message has failed with it
        std::string response{}; // filtered: raw text
        bool last = false;      // a filter wants the run to end
    };
    // `next`: what will be sent after it, if anything, and if it can be had by then.
    net::awaitable<outcome> send(outgoing_message message, const coming_message* next = nullptr);

    // For a connection beside others: that its session does not come about is no failure of the message,
    // which is put back.
    void beside_others() { beside_others_ = true; }

    // The files of a message that was sent are deleted while the next one goes its way. Waits for that.
    net::awaitable<void> settled();

    bool connected() const;
    std::string peer() const; // as displayed; empty without a connection

    // Ends the connection, if there is one, with QUIT, or without; what filters keep goes with it. quit()
    // waits until everything is settled().
    net::awaitable<void> quit();
    void drop();

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

    net::awaitable<outcome> carry(outgoing_message message, const coming_message* next);
    const outgoing_message* may_follow(const coming_message* next) const;
    void tell(const std::string& id, const outcome& how) const;
    // What filters say of a message, until it is ready to be sent.
    struct screening {
        bool due = false;            // the client filter has still to run
        bool screened = false;       // it has run
        std::optional<outcome> over; // the message is not sent
        bool last = false;
    };

    base::result<route> route_of(const mail::envelope& envelope) const;
    // `next_best`: addresses that are as good for the message, if the route's does not connect.
    net::awaitable<base::result<void>> connect(const route& wanted, const std::string& id,
                                               const std::vector<std::string>& next_best);
    net::awaitable<base::result<void>> connect_to(mail::next_hop to, const std::string& selector,
                                                  const std::string& id, bool& announced);
    net::awaitable<void> screen(filter::kind what, outgoing_message& message, screening& state);
    net::awaitable<outcome> not_connected(outgoing_message message, const base::result<route>& wanted,
                                          base::error why);
    net::awaitable<void> settle_later(outgoing_message message, const smtp::message_done& done);
    net::awaitable<void> end_connection();

    const mail::next_hop& default_;
    const client_session_settings& client_;
    const filter_settings& filter_settings_;
    spool::store& store_;
    blocking& work_;
    net::worker& worker_;
    const base::logger& log_;
    observer watch_;
    std::unique_ptr<client_session> connection_;
    route connected_for_;
    std::optional<outgoing_filters> filters_; // made for the first message
    std::set<std::string> unconnectable_;     // addresses of envelopes, since the last quit()
    net::pending<void> settling_;             // the message before
    bool beside_others_ = false;
    bool stopping_ = false;
    bool interrupted_ = false;
};

} // namespace relay
