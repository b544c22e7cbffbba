// System accounts as recipients: `account:` (spec/filters-and-verifiers.md section 7).
#pragma once

#include "verify/verifier.hpp"

#include <string>

namespace verify {

struct account_rules {
    unsigned least_uid = 1000, greatest_uid = 32767;
    bool lowercase = false; // the mailbox is the account's name in lower case
    bool check = false;     // what does not match is a valid remote address
    bool remote = false;    // and so is what matches
};

// Account data bases may be on other machines: lookups are done by threads of their own, and nobody waits for
// one longer than the time limit.
class account final : public verifier {
public:
    account(account_rules rules, const services& with);
    net::awaitable<verdict> check(request asked) override;

private:
    struct lookup;
    static net::awaitable<void> look_up(net::background& lookups, std::shared_ptr<lookup> wanted);
    verdict judge(const request& asked, const lookup& done) const;
    verdict no_match(std::string reason) const;

    account_rules rules_;
    services with_;
};

} // namespace verify
