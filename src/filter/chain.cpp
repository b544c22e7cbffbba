#include "filter/chain.hpp"

#include "base/text.hpp"

namespace filter {

namespace {

std::string_view word_for(result::outcome what) {
    switch (what) {
    case result::outcome::ok:
        return "ok";
    case result::outcome::fail:
        return "failed";
    case result::outcome::abandon:
        return "ok(abandon)";
    case result::outcome::interrupted:
        break;
    }
    return "failed";
}

std::string_view word_for_special(kind what) {
    return what == kind::server ? "+rescan" : "+break";
}

} // namespace

std::string_view prefix_of(kind what) {
    switch (what) {
    case kind::server:
        return "filter";
    case kind::client:
        return "client-filter";
    case kind::routing:
        return "routing-filter";
    }
    return "filter";
}

chain::chain(const makers& made_from, const services& with) {
    for (const maker& make : made_from) {
        filters_.push_back(make(with));
        name_.append(name_.empty() ? "" : ",").append(filters_.back()->name());
    }
}

net::awaitable<result> chain::run(const job& now) {
    result sum;
    bool special = false;
    interrupted_ = false;
    for (auto& each : filters_) {
        running_ = each.get();
        sum = co_await running_->run(now);
        running_ = nullptr;
        special = special || sum.special;
        if (interrupted_ || sum.what != result::outcome::ok)
            break;
    }
    sum.special = special;
    if (interrupted_)
        sum = result::interrupted();
    bool failed = sum.what == result::outcome::fail || sum.what == result::outcome::interrupted;
    now.log.verbose("{} [{}]: [{}]: {}{} response=[{}]{}", prefix_of(now.what), name_, now.id,
                    word_for(sum.what), special ? word_for_special(now.what) : "",
                    failed ? base::printable(sum.response) : "",
                    failed ? fmt::format(" reason=[{}]", base::printable(sum.reason)) : "");
    co_return sum;
}

void chain::interrupt() {
    interrupted_ = true;
    if (running_)
        running_->interrupt();
}

} // namespace filter
