// Command lines out of what the peer sends in pieces of any size.
//
// A line ends with CR-LF only (RFC 5321 section 2.3.8). A line that lies whole in the octets given is handed
// out in place; only one that is split is gathered here, up to the limit. What is longer is counted and
// forgotten, so that an endless line costs no memory and the next line is found again. What was gathered is
// wiped: a password may have been in it.
#pragma once

#include "base/secret_text.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace base {

class line_reader {
public:
    // Octets without CR-LF; 0 = none.
    explicit line_reader(std::size_t limit) : limit_(limit) {}

    struct line {
        std::string_view text; // without CR-LF; empty if too long; valid until the next call
        std::size_t size = 0;
        bool too_long = false;
    };

    // Takes the next line off `input`; nothing when it does not end there, and then all of `input` has been
    // taken.
    std::optional<line> take(std::span<const char>& input);

    // A line has begun and not ended.
    bool begun() const noexcept { return size_ != 0; }
    std::size_t size() const noexcept { return size_; }
    // Lines that have ended.
    std::uint64_t finished() const noexcept { return finished_; }

private:
    line finish(std::string_view text, std::size_t size);
    void keep(std::string_view piece);

    std::size_t limit_;
    secret_text kept_;          // the beginning of an unfinished line, unless that is too long already
    std::size_t size_ = 0;      // of the unfinished line so far
    bool ends_with_cr_ = false; // the unfinished line does
    std::uint64_t finished_ = 0;
    bool handed_out_ = false; // kept_ is a line that the caller may still look at
};

} // namespace base
