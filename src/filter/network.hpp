// `net:`: a server that is told the path of the content and answers with one line
// (spec/filters-and-verifiers.md section 4).
//
// The connection is kept from one message to the next; one that the server has closed meanwhile is replaced.
#pragma once

#include "filter/filter.hpp"
#include "net/helper_connection.hpp"

#include <string>

namespace filter {

class network final : public filter {
public:
    network(net::target server, const services& with);
    const std::string& name() const noexcept override { return name_; }
    net::awaitable<result> run(const job& now) override;
    void interrupt() override { connection_.interrupt(); }

private:
    net::awaitable<base::result<std::string>> ask(const job& now);

    std::string name_;
    net::helper_connection connection_;
};

} // namespace filter
