// Divides a message that arrives in pieces into its header section and its body, with CR-LF at the end of
// every line.
//
// The header is held until it is complete, the body is handed on as it comes. Bare CRs stay. Memory: the
// header section, and at most one piece of body.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

namespace submit {

struct splitting {
    bool body_only = false; // there is no header section: --body
    // A line with a dot alone is the end, whatever follows.
    bool dot_ends = false;
    // The first line that is neither a header field nor the continuation of one begins the body, as for
    // sendmail; a line "From ..." in front of all is dropped. Else only an empty line ends the header
    // section.
    bool header_ends_by_itself = false;
};

class content_splitter {
public:
    static constexpr std::size_t max_header = 16 << 20;

    explicit content_splitter(const splitting& how) : how_(how), in_body_(how.body_only) {}

    void feed(std::span<const char> bytes);
    void end(); // no more follows

    bool header_complete() const noexcept { return in_body_; }
    bool header_too_large() const noexcept { return too_large_; }
    bool over() const noexcept { return over_; } // end() was called, or the dot was found

    // Whole lines, without the empty line that ends the header section.
    const std::string& header() const noexcept { return header_; }
    std::string take_body();

private:
    void take_lines(bool at_end);
    void take_line(std::string_view line);
    void take_header_line(std::string_view line);
    void take_long_line();

    splitting how_;
    std::string held_;         // beginning of a line that has no end yet
    std::size_t searched_ = 0; // so much of it has no LF
    std::string header_;
    std::string body_;
    bool in_body_;
    bool within_line_ = false; // the beginning of the line is already in body_
    bool too_large_ = false;
    bool over_ = false;
};

} // namespace submit
