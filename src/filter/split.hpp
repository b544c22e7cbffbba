// `split:`: one message to recipients in several domains becomes one message for each
// (spec/filters-and-verifiers.md section 6).
#pragma once

#include "filter/blocking_filter.hpp"
#include "mail/envelope.hpp"

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace filter {

class message_files;

using recipients_by_domain = std::map<std::string, std::vector<std::string>>;

class split final : public blocking_filter {
public:
    // Parameters: raw (domains are told apart by case, too), and a port number.
    split(std::string_view parameters, const services& with);

protected:
    base::result<result> work_on(const job& now) override;

private:
    struct parts;
    base::result<parts> stage(const job& now, const message_files& message,
                              const mail::parsed_envelope& original, const recipients_by_domain& groups);

    bool raw_;
    std::string port_; // with its colon; empty if none is given
};

// Parameters that mean nothing to it: pure.
std::vector<std::string> unknown_to_split(std::string_view given);

// Recipients by domain, in the order in which messages are made of them: pure. The domain stands behind the
// last @; addresses without one have the empty domain.
recipients_by_domain by_domain(const std::vector<std::string>& recipients, bool raw);
std::string_view domain_of(std::string_view recipient) noexcept;

} // namespace filter
