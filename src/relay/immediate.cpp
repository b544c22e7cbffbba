#include "relay/immediate.hpp"

#include <algorithm>
#include <utility>

namespace relay {

namespace {

const smtp::commit_outcome forwarded{};
const smtp::commit_outcome forwarding_failed{452, "forwarding failed"};

// Whether the next hop's code may be our reply to the end of data: it refuses (RFC 5321 section 4.2.1), and
// does not say that the connection ends, as 421 does, for ours goes on.
bool refuses(int code) {
    return code >= 400 && code < 600 && code != 421;
}

// The next hop's answer, as the submitter is to see it.
smtp::commit_outcome answer_to(const smtp::message_done& done) {
    using result = smtp::message_done::result;
    switch (done.what) {
    case result::sent:
        return forwarded;
    case result::sent_to_some:
    case result::recipients_refused:
        return {452, "one or more recipients rejected"};
    case result::refused:
        if (done.code && refuses(*done.code)) {
            std::string text = done.reason;
            std::replace(text.begin(), text.end(), '\n', ' ');
            return {*done.code, std::move(text)};
        }
        return forwarding_failed;
    case result::failed:
        break;
    }
    return forwarding_failed;
}

} // namespace

immediate_forwarding::immediate_forwarding(const forwarder_settings& settings, spool::store& store,
                                           blocking& work, net::worker& on, const base::logger& log,
                                           observer watch)
    : store_(store), work_(work), log_(log),
      sender_(settings.to, settings.client, settings.filters, store, work, on, log, watch.silent()) {}

net::awaitable<smtp::commit_outcome> immediate_forwarding::forward(std::string id) {
    auto message = co_await take(store_, work_, std::move(id));
    if (message.has_error())
        co_return forwarded; // somebody else has it in hand: it is stored and on its way
    if (message->message.envelope().to_remote.empty()) {
        co_await put_back(store_, work_, std::move(*message), log_);
        co_return forwarded;
    }
    message_sender::outcome sent = co_await sender_.send(std::move(*message));
    co_await sender_.settled(); // with its answer the submitter may look into the spool
    if (sent.what == message_sender::outcome::kind::answered)
        co_return answer_to(sent.done);
    if (sent.what == message_sender::outcome::kind::filtered)
        co_return smtp::commit_outcome{452, std::move(sent.response)};
    if (sent.what == message_sender::outcome::kind::abandoned)
        co_return forwarded; // in the spool, for later
    if (sent.what != message_sender::outcome::kind::out_of_reach)
        log_.warning("smtp client error: {}", sent.error.message());
    co_return forwarding_failed;
}

} // namespace relay
