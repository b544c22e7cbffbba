// `mx:`: finds the address for the domain that ForwardTo names, and puts it into ForwardToAddress
// (spec/filters-and-verifiers.md section 6).
//
// ForwardToAddress has room for one: the next best ones are in the envelope too, for whoever forwards the
// message, now or later. When the DNS gives no answer the message is left for later.
#pragma once

#include "filter/filter.hpp"
#include "net/mail_exchangers.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace filter {

class mx final : public filter {
public:
    mx(std::string_view parameters, net::name_servers servers, const services& with);
    const std::string& name() const noexcept override { return name_; }
    net::awaitable<result> run(const job& now) override;
    void interrupt() override {
        if (searching_)
            searching_->interrupt();
    }

private:
    net::awaitable<net::mail_exchangers> search(std::string domain);
    net::awaitable<base::result<void>> set_addresses(const job& now, std::vector<std::string> addresses);

    net::worker& worker_;
    net::background& work_;
    spool::store& store_;
    std::chrono::seconds timeout_;
    net::name_servers servers_;
    std::string name_;
    net::exchanger_search* searching_ = nullptr;
};

} // namespace filter
