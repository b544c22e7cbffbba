#include "filter/mx.hpp"

#include "base/text.hpp"
#include "filter/forward_to.hpp"
#include "filter/message_files.hpp"

#include <optional>
#include <utility>

namespace filter {

namespace {

// An address that says: nowhere in particular.
constexpr std::string_view unspecified = "0.0.0.0";

} // namespace

mx::mx(std::string_view parameters, net::name_servers servers, const services& with)
    : worker_(with.on), work_(with.work), store_(with.store), timeout_(with.timeout),
      servers_(std::move(servers)), name_(std::string("mx:").append(parameters)) {}

net::awaitable<result> mx::run(const job& now) {
    using outcome = net::mail_exchangers::outcome;
    message_files files(store_, now);
    auto reading = [&files] {
        return files.read_envelope();
    };
    auto envelope = co_await work_.run(reading);
    if (envelope.has_error())
        co_return result::fail("failed", envelope.error().message());
    if (envelope->value.forward_to.empty())
        co_return result::ok();
    auto to = read_forward_to(envelope->value.forward_to);
    net::mail_exchangers found;
    found.why = "invalid domain";
    if (to && !to->literal.empty())
        found = {outcome::found, {to->literal}, {}};
    else if (to)
        found = co_await search(to->domain);

    std::vector<std::string> addresses;
    if (found.what == outcome::found && found.addresses.front() != unspecified)
        for (const std::string& literal : found.addresses)
            addresses.push_back(address_and_port(literal, to->port));
    now.log.verbose("{} [{}]: [{}]: setting forward-to-address [{}]{}", prefix_of(now.what), name_, now.id,
                    addresses.empty() ? "" : addresses.front(),
                    found.why.empty() ? "" : " (" + found.why + ")");
    auto set = co_await set_addresses(now, std::move(addresses));
    if (set.has_error())
        co_return result::fail("failed", set.error().message());
    if (found.what == outcome::none)
        co_return result::fail("failed", "failed");
    if (found.what == outcome::not_for_now)
        co_return now.what == kind::server ? result::fail("failed", found.why) : result::abandon();
    co_return result::ok();
}

net::awaitable<net::mail_exchangers> mx::search(std::string domain) {
    struct going_on { // ended also when the coroutine is destroyed
        going_on(net::exchanger_search*& w, net::exchanger_search& s) : where(w) { where = &s; }
        ~going_on() { where = nullptr; }
        net::exchanger_search*& where;
    };
    net::exchanger_search search(worker_, servers_, net::deadline_after(timeout_));
    going_on present(searching_, search);
    co_return co_await search.find(std::move(domain));
}

net::awaitable<base::result<void>> mx::set_addresses(const job& now, std::vector<std::string> addresses) {
    message_files files(store_, now);
    std::string best;
    if (!addresses.empty()) {
        best = addresses.front();
        addresses.erase(addresses.begin());
    }
    auto write = [&]() -> base::result<void> {
        auto envelope = files.read_envelope();
        if (envelope.has_error())
            return envelope.error();
        mail::envelope& text = envelope->value;
        if (text.forward_to_address == best && text.next_best == addresses)
            return {};
        text.forward_to_address = best;
        text.next_best = addresses;
        return files.write_envelope(text, envelope->extra);
    };
    co_return co_await work_.run(write);
}

} // namespace filter
