#include "verify/account.hpp"

#include "base/text.hpp"
#include "os/accounts.hpp"

#include <optional>
#include <utility>

namespace verify {

namespace {

// Without the double quotes around all of it.
std::string_view unquoted(std::string_view text) {
    return text.size() >= 2 && text.front() == '"' && text.back() == '"' ? text.substr(1, text.size() - 2)
                                                                         : text;
}

} // namespace

// Shared with the coroutine that looks up, which may outlast the one that waits.
struct account::lookup {
    lookup(net::worker& on, std::string n) : name(std::move(n)), over(on) {}
    std::string name;
    std::optional<os::account> found;
    bool done = false;
    net::event over;
};

account::account(account_rules rules, const services& with) : rules_(rules), with_(with) {}

net::awaitable<void> account::look_up(net::background& lookups, std::shared_ptr<lookup> wanted) {
    auto ask = [name = wanted->name] {
        auto found = os::find_account(name);
        if (!found)
            found = os::find_account(base::to_lower(name));
        return found;
    };
    wanted->found = co_await lookups.run(std::move(ask));
    wanted->done = true;
    wanted->over.notify();
}

net::awaitable<verdict> account::check(request asked) {
    std::string_view address = unquoted(asked.address);
    std::size_t at = address.rfind('@');
    std::string_view name = unquoted(address.substr(0, at));
    std::string_view domain = at == address.npos ? std::string_view() : address.substr(at + 1);
    verdict found;
    if (address == "postmaster") {
        found.what = verdict::kind::local;
        found.address = "postmaster";
        co_return found;
    }
    if (at == address.npos || !base::iequals(domain, asked.domain)) {
        found = no_match("[" + std::string(domain) + "] does not match [" + asked.domain + "]");
        co_return found;
    }
    auto wanted = std::make_shared<lookup>(with_.on, std::string(name));
    net::spawn(with_.on, look_up(with_.lookups, wanted), asked.log, "account lookup");
    co_await wanted->over.wait(net::deadline_after(with_.timeout));
    if (!wanted->done)
        co_return verdict::reject_for_now("timeout", "timeout");
    co_return judge(asked, *wanted);
}

verdict account::judge(const request& asked, const lookup& done) const {
    if (!done.found)
        return no_match("[" + done.name + "] is not a valid account name");
    if (done.found->uid < rules_.least_uid || done.found->uid > rules_.greatest_uid)
        return no_match("uid " + std::to_string(done.found->uid) + " is not in the range " +
                        std::to_string(rules_.least_uid) + "-" + std::to_string(rules_.greatest_uid));
    verdict found;
    if (rules_.remote) {
        found.address = asked.address;
        return found;
    }
    found.what = verdict::kind::local;
    found.address = rules_.lowercase ? base::to_lower(done.found->name) : done.found->name;
    return found;
}

verdict account::no_match(std::string reason) const {
    return rules_.check ? verdict() : verdict::reject("rejected", std::move(reason));
}

} // namespace verify
