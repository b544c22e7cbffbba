#include "relay/immediate.hpp"

#include "base/text.hpp"

#include <algorithm>
#include <optional>
#include <variant>

namespace relay {

namespace {

const smtp::commit_outcome forwarded{};
const smtp::commit_outcome forwarding_failed{452, "forwarding failed"};

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
        if (done.code) {
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
                                           blocking& work, net::worker& on, const base::logger& log)
    : settings_(settings), store_(store), work_(work), worker_(on), log_(log) {}

void immediate_forwarding::drop() {
    connection_.reset();
}

void immediate_forwarding::interrupt() {
    interrupted_ = true;
    if (connection_)
        connection_->interrupt();
}

net::awaitable<base::result<void>> immediate_forwarding::connect() {
    connection_ = std::make_unique<client_session>(settings_.client, work_, worker_, log_);
    auto connected = co_await connection_->connect(settings_.to);
    if (connected.has_error())
        connection_.reset();
    co_return connected;
}

net::awaitable<smtp::commit_outcome> immediate_forwarding::forward(std::string id) {
    auto message = co_await take(store_, work_, id);
    if (message.has_error())
        co_return forwarded; // somebody else has it in hand: it is stored and on its way
    if (message->message.envelope().to_remote.empty()) {
        co_await put_back(store_, work_, std::move(*message), log_);
        co_return forwarded;
    }
    for (;;) {
        bool fresh = !connection_;
        if (fresh) {
            auto connected = co_await connect();
            if (connected.has_error()) {
                log_.warning("smtp client error: {}", connected.error().message());
                co_await put_back(store_, work_, std::move(*message), log_);
                co_return forwarding_failed;
            }
        }
        client_session::outcome outcome = co_await connection_->send(*message);
        if (auto* done = std::get_if<smtp::message_done>(&outcome)) {
            smtp::commit_outcome answer = answer_to(*done);
            co_await settle(store_, work_, std::move(*message), std::move(*done), log_);
            co_return answer;
        }
        connection_.reset();
        auto& broken = std::get<smtp::session_failed>(outcome);
        bool untouched = !broken.message_in_hand;
        if (untouched && !fresh && !interrupted_)
            continue; // a connection that was closed since the last message
        log_.warning("smtp client error: {}", base::printable(broken.reason));
        if (untouched || interrupted_) {
            co_await put_back(store_, work_, std::move(*message), log_);
        } else {
            smtp::message_done failed{smtp::message_done::result::failed, broken.reason, std::nullopt, {}};
            co_await settle(store_, work_, std::move(*message), std::move(failed), log_);
        }
        co_return forwarding_failed;
    }
}

} // namespace relay
