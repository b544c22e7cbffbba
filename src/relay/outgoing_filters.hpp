// --client-filter: runs on a message that is in a forwarder's hands, and reads it again afterwards
// (spec/filters-and-verifiers.md sections 1 and 2).
//
// One for each forwarding run, or for each SMTP session that forwards at once; lives on its worker.
#pragma once

#include "filter/chain.hpp"
#include "relay/blocking.hpp"
#include "relay/filter_settings.hpp"
#include "relay/outgoing.hpp"
#include "spool/store.hpp"

namespace relay {

class outgoing_filters {
public:
    // All outlive it.
    outgoing_filters(const filter_settings& settings, spool::store& store, blocking& work, net::worker& on,
                     const base::logger& log)
        : work_(work), log_(log),
          chain_(settings.makers, filter::services{on, work, store, settings.timeout}) {}

    struct verdict {
        enum class kind {
            send,    // the message is as the filters have left it
            gone,    // they have taken it away
            abandon, // it is left for later
            fail,    // with `done`
        };
        kind what = kind::send;
        bool last = false;       // the run ends with this message; never by a routing filter
        smtp::message_done done; // what is to be recorded
        std::string response;    // for a submitter who waits
    };
    net::awaitable<verdict> run(filter::kind what, outgoing_message& message);

    void interrupt() { chain_.interrupt(); }

private:
    static verdict judge(filter::kind what, const filter::result& found);
    net::awaitable<void> read_again(filter::kind what, outgoing_message& message, verdict& so_far);

    blocking& work_;
    const base::logger& log_;
    filter::chain chain_;
};

} // namespace relay
