#include "net/dnsbl.hpp"

#include "net/dns_client.hpp"

#include "base/text.hpp"

#include <boost/asio/ip/address.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace net {

namespace ip = boost::asio::ip;
using std::chrono::steady_clock;

// The name to ask for

std::string dnsbl_name(std::string_view address, std::string_view list) {
    boost::system::error_code bad;
    auto client = ip::make_address(std::string(address), bad);
    if (bad)
        return {};
    std::string name;
    if (client.is_v4()) {
        auto bytes = client.to_v4().to_bytes();
        for (std::size_t i = bytes.size(); i-- > 0;)
            name += fmt::format("{}.", bytes[i]);
    } else {
        auto bytes = client.to_v6().to_bytes();
        for (std::size_t i = bytes.size(); i-- > 0;)
            name += fmt::format("{:x}.{:x}.", bytes[i] & 0xfU, bytes[i] >> 4);
    }
    return name + std::string(list);
}

// The decision

dnsbl_decision::dnsbl_decision(std::vector<std::string> lists, unsigned threshold, bool deny_on_timeout)
    : threshold_(threshold), deny_on_timeout_(deny_on_timeout) {
    for (std::string& list : lists)
        answers_.push_back({std::move(list)});
}

void dnsbl_decision::denied(std::size_t list, std::vector<std::string> addresses) {
    answers_[list].said = state::denied;
    answers_[list].addresses = std::move(addresses);
}

void dnsbl_decision::allowed(std::size_t list) {
    answers_[list].said = state::allowed;
}

void dnsbl_decision::no_answer(std::size_t list) {
    answers_[list].said = state::silent;
}

void dnsbl_decision::timed_out() {
    timed_out_ = true;
}

std::size_t dnsbl_decision::count(state said) const {
    return static_cast<std::size_t>(std::count_if(answers_.begin(), answers_.end(),
                                                  [said](const answer& one) { return one.said == said; }));
}

bool dnsbl_decision::ran_out_of_time() const {
    std::size_t denies = count(state::denied), asked = count(state::asked), silent = count(state::silent);
    if (threshold_ != 0 && (denies >= threshold_ || denies + asked + silent < threshold_))
        return false;
    return timed_out_ ? asked + silent > 0 : asked == 0 && silent > 0;
}

dnsbl_decision::verdict dnsbl_decision::result() const {
    if (ran_out_of_time())
        return deny_on_timeout_ && threshold_ != 0 ? verdict::block : verdict::allow;
    std::size_t denies = count(state::denied), open = count(state::asked) + count(state::silent);
    if (threshold_ != 0 && denies >= threshold_)
        return verdict::block;
    return open == 0 || denies + open < threshold_ ? verdict::allow : verdict::undecided;
}

std::string dnsbl_decision::names_of(bool (*which)(state)) const {
    std::string out;
    for (const answer& one : answers_)
        if (which(one.said))
            out += fmt::format("{}[{}]", out.empty() ? "" : " ", base::printable(one.list));
    return out;
}

void dnsbl_decision::log(const base::logger& to, std::string_view address) const {
    for (const answer& one : answers_) {
        std::string list = base::printable(one.list);
        if (one.said == state::allowed)
            to.verbose("dnsbl: address [{}] allowed by [{}]", address, list);
        else if (one.said == state::denied)
            to.verbose("dnsbl: address [{}] denied by [{}]: {}", address, list,
                       fmt::join(one.addresses, " "));
        else
            to.verbose("dnsbl: address [{}] not checked by [{}]", address, list);
    }
    bool block = result() == verdict::block;
    if (ran_out_of_time())
        to.warning("dnsbl: client address [{}]{}: timeout: no answer from {}", address,
                   block ? " blocked" : "",
                   names_of([](state said) { return said == state::asked || said == state::silent; }));
    else if (block)
        to.warning("dnsbl: client address [{}] blocked by {}", address,
                   names_of([](state said) { return said == state::denied; }));
}

// Switching off and on

dnsbl::dnsbl(dnsbl_settings settings, base::logger log)
    : settings_(std::move(settings)), log_(std::move(log)) {}

void dnsbl::stop(std::chrono::seconds time) {
    off_until_ = steady_clock::now() + time;
    log_.summary("dnsbl disabled for {}s", time.count());
}

void dnsbl::start() {
    off_until_ = steady_clock::time_point{};
    log_.summary("dnsbl enabled");
}

bool dnsbl::enabled() const {
    return steady_clock::now() >= off_until_.load();
}

// One client

struct dnsbl_check::state {
    state(const dnsbl_settings& settings, worker& on, base::logger l)
        : decision(settings.lists, settings.threshold, settings.deny_on_timeout), log(std::move(l)),
          changed(on) {}

    dnsbl_decision decision;
    base::logger log;
    event changed;
    bool over = false; // decided or interrupted: answers are of no interest any more
};

dnsbl_check::dnsbl_check(const dnsbl& lists, worker& on, base::logger log)
    : settings_(lists.settings()), worker_(on), log_(std::move(log)), enabled_(lists.enabled()),
      state_(std::make_shared<state>(settings_, on, log_)) {}

void dnsbl_check::interrupt() {
    state_->over = true;
    state_->changed.notify();
}

// A server's way to say that something is listed is an address of 127.0.0.0/8 (RFC 5782 section 2.1); others
// come from domains that are no lists any more.
void dnsbl_check::take(state& check, std::size_t list, const base::result<dns_answer>& answer) {
    constexpr unsigned greatest_rcode = 5;
    if (check.over)
        return;
    if (answer.has_error()) {
        check.decision.no_answer(list);
    } else if (answer->rcode > greatest_rcode) {
        check.log.warning("dnsbl: invalid dns response: qr=1 rcode={} id={}", answer->rcode, answer->id);
        check.decision.no_answer(list);
    } else {
        std::vector<std::string> listing, others;
        for (const dns_record& record : answer->records)
            if (record.type == dns_type::a)
                (record.data.starts_with("127.") ? listing : others).push_back(record.data);
        if (!others.empty())
            check.log.verbose("dnsbl: not a listing: {}", fmt::join(others, " "));
        if (!listing.empty() && answer->rcode == 0)
            check.decision.denied(list, std::move(listing));
        else
            check.decision.allowed(list);
    }
    check.changed.notify();
}

awaitable<bool> dnsbl_check::allows(endpoint client) {
    using verdict = dnsbl_decision::verdict;
    if (!enabled_)
        co_return true;
    if (is_local(client)) {
        log_.verbose("dnsbl: not checking local address [{}]", client.address);
        co_return true;
    }
    auto check = state_;
    endpoint server = settings_.server;
    if (server.address.empty())
        server = worker_.name_servers().system_servers().front();
    for (std::size_t i = 0; i < settings_.lists.size(); ++i) {
        if (check->decision.result() != verdict::undecided)
            break;
        auto name = dnsbl_name(client.address, base::trim(settings_.lists[i]));
        asked_ = true;
        worker_.name_servers().ask(
            server, name, dns_type::a, settings_.timeout,
            [check, i](const base::result<dns_answer>& answer) { take(*check, i, answer); });
    }
    auto until = steady_clock::now() + settings_.timeout;
    while (!check->over && check->decision.result() == verdict::undecided) {
        co_await check->changed.wait(until);
        if (steady_clock::now() >= until)
            check->decision.timed_out();
    }
    bool interrupted = std::exchange(check->over, true);
    if (interrupted)
        co_return true;
    check->decision.log(log_, client.address);
    co_return check->decision.result() == verdict::allow;
}

} // namespace net
