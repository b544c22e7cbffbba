// `mx:`: finds the address for the domain that ForwardTo names, and puts it into ForwardToAddress
// (spec/filters-and-verifiers.md section 6).
//
// An envelope has room for one address: the next best ones are in the result, for the forwarder. When the DNS
// gives no answer the message is left for later.
#pragma once

#include "filter/filter.hpp"
#include "net/mail_exchangers.hpp"

#include <string>
#include <string_view>

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
    net::awaitable<base::result<void>> set_address(const job& now, std::string address);

    net::worker& worker_;
    net::background& work_;
    spool::store& store_;
    std::chrono::seconds timeout_;
    net::name_servers servers_;
    std::string name_;
    net::exchanger_search* searching_ = nullptr;
};

} // namespace filter
