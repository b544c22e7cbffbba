// The filters of one session or run, in order: the first that does not say "ok" ends the chain and gives the
// result; the special flag is set if any that ran has set it (spec/filters-and-verifiers.md section 1).
#pragma once

#include "filter/filter.hpp"

#include <memory>
#include <string>
#include <vector>

namespace filter {

class chain {
public:
    chain(const makers& made_from, const services& with);

    // Logs the result. `now` stays valid until the run is over.
    net::awaitable<result> run(const job& now);

    // Ends the run that is going on; what is left of the chain does not run.
    void interrupt();

    const std::string& name() const noexcept { return name_; }

private:
    std::vector<std::unique_ptr<filter>> filters_;
    std::string name_;
    filter* running_ = nullptr;
    bool interrupted_ = false;
};

} // namespace filter
