#include "net/mail_exchangers.hpp"

#include "net/dns_client.hpp"
#include "net/worker.hpp"

#include "base/text.hpp"

#include <algorithm>
#include <utility>

namespace net {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

namespace {

constexpr unsigned no_such_name = 3; // codes of answers

// Where the aliases among the records lead from `name`.
std::string end_of_aliases(const std::vector<dns_record>& records, std::string name) {
    for (std::size_t hops = 0; hops < exchanger_search::most_aliases; ++hops) {
        auto next = std::find_if(records.begin(), records.end(), [&name](const dns_record& one) {
            return one.type == dns_type::cname && one.owner == name;
        });
        if (next == records.end())
            break;
        name = next->data;
    }
    return name;
}

std::vector<dns_record> exchangers_in(const std::vector<dns_record>& records) {
    std::vector<dns_record> out;
    std::copy_if(records.begin(), records.end(), std::back_inserter(out),
                 [](const dns_record& one) { return one.type == dns_type::mx; });
    std::stable_sort(out.begin(), out.end(),
                     [](const dns_record& a, const dns_record& b) { return a.preference < b.preference; });
    return out;
}

void add_addresses_in(const std::vector<dns_record>& records, mail_exchangers& to) {
    for (const dns_record& one : records) {
        bool is_address = one.type == dns_type::a || one.type == dns_type::aaaa;
        bool is_new = std::find(to.addresses.begin(), to.addresses.end(), one.data) == to.addresses.end();
        if (is_address && is_new && to.addresses.size() < exchanger_search::most_addresses)
            to.addresses.push_back(one.data);
    }
}

} // namespace

exchanger_search::exchanger_search(worker& on, name_servers servers, time_point deadline)
    : worker_(on), servers_(std::move(servers)), deadline_(deadline) {
    if (servers_.servers.empty())
        servers_.servers = worker_.name_servers().system_servers();
}

// One server after the other, round after round. Who gives an answer that is of no use is not asked again.
awaitable<exchanger_search::reply> exchanger_search::ask(std::string name, dns_type type) {
    std::vector<endpoint> servers = servers_.servers;
    for (std::size_t i = 0; !servers.empty() && !interrupted_; ++i) {
        i %= servers.size();
        milliseconds wait = i + 1 == servers.size() ? servers_.again : servers_.next;
        if (steady_clock::now() >= deadline_)
            break;
        endpoint server = servers[i];
        auto answer = co_await worker_.name_servers().ask(server, name, type, wait, deadline_);
        if (answer.has_error() && stream::is_timeout(answer.error()))
            continue;
        if (answer.has_value() && answer->rcode == no_such_name)
            co_return reply{reply::kind::no_such_name};
        if (answer.has_value() && answer->rcode == 0) {
            reply out{reply::kind::answer, std::move(answer->records)};
            out.target = end_of_aliases(out.records, name);
            co_return out;
        }
        servers.erase(servers.begin() + static_cast<std::ptrdiff_t>(i));
        --i; // the next one has moved here
    }
    co_return reply{};
}

// With further questions for aliases whose end is not in the answer.
awaitable<exchanger_search::reply> exchanger_search::follow(std::string name, dns_type type) {
    name = base::to_lower(name);
    for (std::size_t hops = 0; hops < most_aliases; ++hops) {
        reply heard = co_await ask(name, type);
        bool whole = std::any_of(heard.records.begin(), heard.records.end(),
                                 [](const dns_record& one) { return one.type != dns_type::cname; });
        if (heard.what != reply::kind::answer || whole || heard.target == name)
            co_return heard;
        name = heard.target;
    }
    co_return reply{reply::kind::no_such_name}; // aliases in a circle
}

awaitable<void> exchanger_search::add_addresses(std::string host, mail_exchangers& to, bool& unsure) {
    for (dns_type type : {dns_type::a, dns_type::aaaa}) {
        reply heard = co_await follow(host, type);
        unsure = unsure || heard.what == reply::kind::none;
        if (heard.what == reply::kind::no_such_name)
            co_return;
        add_addresses_in(heard.records, to);
    }
}

awaitable<mail_exchangers> exchanger_search::find(std::string domain) {
    using outcome = mail_exchangers::outcome;
    mail_exchangers out;
    reply heard = co_await follow(domain, dns_type::mx);
    if (heard.what == reply::kind::none) {
        out.what = outcome::not_for_now;
        out.why = "no answer from the name servers";
        co_return out;
    }
    if (heard.what == reply::kind::no_such_name) {
        out.why = "no such domain";
        co_return out;
    }
    std::vector<dns_record> exchangers = exchangers_in(heard.records);
    if (exchangers.empty()) {
        add_addresses_in(heard.records, out);                          // some servers send them at once
        exchangers.push_back({dns_type::mx, domain, heard.target, 0}); // the domain itself
    } else if (exchangers.size() == 1 && exchangers.front().data.empty()) {
        out.why = "the domain takes no mail"; // RFC 7505
        co_return out;
    }
    bool unsure = false;
    if (out.addresses.empty())
        for (std::size_t i = 0; i < std::min(exchangers.size(), most_exchangers); ++i) {
            std::string host = exchangers[i].data;
            if (!host.empty())
                co_await add_addresses(std::move(host), out, unsure);
        }
    if (!out.addresses.empty()) {
        out.what = outcome::found;
    } else {
        out.what = unsure ? outcome::not_for_now : outcome::none;
        out.why = unsure ? "no answer from the name servers" : "no address";
    }
    co_return out;
}

} // namespace net
