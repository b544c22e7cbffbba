// What a verifier program's end means (spec/filters-and-verifiers.md section 7, "Program"): pure.
#pragma once

#include "verify/verifier.hpp"

#include <string>
#include <string_view>

namespace verify {

// The first two lines of what was printed: trailing white space removed, then CRs dropped.
struct lines {
    bool has_second = false;
    std::string first;
    std::string second;
};
lines read_lines(std::string_view printed);

// `code` is 128+n for a program killed by signal n.
verdict verdict_of_exit(unsigned code, const lines& printed);

} // namespace verify
