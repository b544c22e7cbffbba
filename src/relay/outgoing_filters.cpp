#include "relay/outgoing_filters.hpp"

#include <boost/system/errc.hpp>

#include <optional>
#include <utility>

namespace relay {

namespace {

constexpr int code_of_rejection = 550;

// "routing filter failed: <response>: <reason>", parts left out that are empty.
std::string routing_reason(const filter::result& found) {
    std::string text = "routing filter failed";
    for (const std::string* part : {&found.response, &found.reason})
        if (!part->empty())
            text.append(": ").append(*part);
    return text;
}

smtp::message_done failed(filter::kind what, std::string reason) {
    std::optional<int> code;
    if (what == filter::kind::client)
        code = code_of_rejection;
    return {smtp::message_done::result::failed, std::move(reason), code, {}};
}

} // namespace

net::awaitable<outgoing_filters::verdict> outgoing_filters::run(filter::kind what,
                                                                outgoing_message& message) {
    filter::job job{what,
                    message.message.id(),
                    message.message.content_path(),
                    message.message.envelope_path(),
                    nullptr,
                    log_.with_message(message.message.id())};
    filter::result found = co_await chain_.run(job);
    verdict judged = judge(what, found);
    co_await read_again(what, message, judged);
    co_return judged;
}

outgoing_filters::verdict outgoing_filters::judge(filter::kind what, const filter::result& found) {
    verdict judged;
    judged.last = found.special && what == filter::kind::client;
    switch (found.what) {
    case filter::result::outcome::ok:
        break;
    case filter::result::outcome::abandon:
        judged.what = verdict::kind::abandon;
        break;
    case filter::result::outcome::interrupted:
        judged.what = verdict::kind::abandon;
        judged.last = true;
        break;
    case filter::result::outcome::fail:
        judged.what = verdict::kind::fail;
        judged.response = what == filter::kind::client ? found.response : "routing failed";
        judged.done = failed(what, what == filter::kind::client ? found.reason : routing_reason(found));
        break;
    }
    return judged;
}

// Also for a message that is not sent: what filters have changed is made as durable as it was.
net::awaitable<void> outgoing_filters::read_again(filter::kind what, outgoing_message& message,
                                                  verdict& so_far) {
    auto read = [&message]() -> base::result<void> {
        if (auto reloaded = message.message.reload(); reloaded.has_error())
            return reloaded;
        message.all_read = false;
        return message.read_ahead();
    };
    auto done = co_await work_.run(read);
    if (done.has_value() || so_far.what != verdict::kind::send)
        co_return;
    if (done.error().code == boost::system::errc::no_such_file_or_directory) {
        so_far.what = verdict::kind::gone;
        co_return;
    }
    so_far.what = verdict::kind::fail;
    so_far.response = what == filter::kind::client ? "rejected" : "routing failed";
    so_far.done = failed(what, done.error().message());
}

} // namespace relay
