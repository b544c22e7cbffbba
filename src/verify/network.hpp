// `net:`: a server that is asked about each recipient by one line and answers with one
// (spec/filters-and-verifiers.md section 7). The connection is kept for the session.
#pragma once

#include "net/helper_connection.hpp"
#include "verify/verifier.hpp"

#include <string>

namespace verify {

class network final : public verifier {
public:
    // `shown`: the address as configured, for the log.
    network(net::target server, std::string shown, const services& with);
    net::awaitable<verdict> check(request asked) override;
    void interrupt() override { connection_.interrupt(); }

private:
    net::awaitable<base::result<std::string>> ask(std::string question, const base::logger& log);

    std::string shown_;
    net::helper_connection connection_;
};

} // namespace verify
