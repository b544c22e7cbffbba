// Content as RETR and TOP send it (RFC 1939 sections 3 and 7): dots at the beginning of lines doubled, a last
// line without an end given one; for TOP no more than some lines behind the headers. Pure.
//
// Lines end with CR-LF only; bare CR and LF are octets like others. But dots behind a bare LF, with CRs
// between them or not, are doubled too: clients that end lines there, as most do, would take such a dot for
// the end of the message, and what stands behind it for our answers to their next commands.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace pop {

class content_writer {
public:
    // Nothing: all of it.
    explicit content_writer(std::optional<std::uint64_t> body_lines = std::nullopt) : left_(body_lines) {}

    void add(std::span<const char> content, std::string& to);
    void finish(std::string& to); // the last line's end, the end of headers if they have none, and "."
    bool has_enough() const noexcept { return enough_; }

private:
    void append(std::string_view run, std::string& to);
    void end_line();

    std::optional<std::uint64_t> left_; // body lines
    bool at_line_start_ = true;
    bool cr_ = false;        // the last octet
    bool only_crs_ = true;   // since the last LF, bare or not, or the beginning
    bool line_empty_ = true; // so far, the line has no octets but its end
    bool in_body_ = false;
    bool enough_ = false;
};

} // namespace pop
