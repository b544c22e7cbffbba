// `copy:` and `deliver:`: messages go into mailboxes (spec/filters-and-verifiers.md section 6).
#pragma once

#include "filter/blocking_filter.hpp"
#include "filter/delivery.hpp"

#include <string>
#include <string_view>

namespace filter {

// Into every sub-directory of the spool directory, but hidden ones and "postmaster".
class copy final : public blocking_filter {
public:
    // Parameters: pop, hardlink, nodelete.
    copy(std::string_view parameters, const services& with);

protected:
    base::result<result> work_on(const job& now) override;

private:
    base::result<std::vector<std::string>> mailboxes(const spool::folder& directory) const;

    delivery_options how_;
    bool keep_originals_;
};

// Into the mailboxes of the local recipients, below the delivery directory.
class deliver final : public blocking_filter {
public:
    // `directory`: absolute; empty for the spool directory. Parameters: hardlink, nodelete; pop has no
    // effect.
    deliver(std::string_view parameters, std::string directory, const services& with);

protected:
    base::result<result> work_on(const job& now) override;

private:
    delivery_options how_;
    bool keep_originals_;
    std::string directory_;
};

// Parameters that mean nothing to `copy:` and `deliver:`: pure. (`pop` says nothing to the latter; it is
// known.)
std::vector<std::string> unknown_to_copy(std::string_view given);

} // namespace filter
