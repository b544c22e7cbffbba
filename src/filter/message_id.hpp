// `msgid:`: adds a Message-ID to a message that has none (spec/filters-and-verifiers.md section 6).
#pragma once

#include "filter/blocking_filter.hpp"

#include <string>

namespace filter {

class message_id final : public blocking_filter {
public:
    // `domain`: what stands behind the @.
    message_id(std::string domain, const services& with);

protected:
    base::result<result> work_on(const job& now) override;

private:
    std::string domain_;
};

// Says whether a header section has the field, reading it piece by piece: pure.
class field_search {
public:
    explicit field_search(std::string name); // lower case, with its colon
    enum class state { searching, found, absent };
    state read(std::string_view piece); // absent: the section is over
    state end();                        // there is no more

private:
    std::string name_;
    std::string line_;     // the beginning of the line in hand, as much of it as matters
    bool in_line_ = false; // more of it than line_ holds
    state now_ = state::searching;
};

} // namespace filter
