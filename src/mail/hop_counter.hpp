// Counts the servers that a message has passed: the Received lines of its header (RFC 5321 section 6.3).
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace mail {

class hop_counter {
public:
    // The content from its beginning, cut anywhere. Costs nothing behind the header, which ends at the first
    // empty line; lines end at LF, with or without a CR.
    void scan(std::string_view content);

    std::size_t hops() const noexcept { return hops_; }

private:
    void end_of_line();

    std::string beginning_; // of the line in hand, no more than the name takes
    bool in_header_ = true;
    std::size_t hops_ = 0;
};

} // namespace mail
