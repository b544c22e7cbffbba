// Replies of an SMTP server from a stream of octets (RFC 5321 sections 4.2 and 4.2.1; spec/smtp-client.md
// section 9).
//
// A line is three digits, the first 1 to 5, then its end, a blank or '-'; '-' says that more lines of the
// same reply follow. All lines of a reply carry the same code. Lines end in CR-LF; a bare LF is taken too.
// What is held is bounded by what is fed at a time and the two limits. Nothing can be read behind `invalid`
// or `overflow`.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace smtp {

class reply_parser {
public:
    struct reply {
        int code = 0;
        std::vector<std::string> lines; // texts without code and line end; at least one

        std::string text() const; // lines joined by LF
        bool refusal() const noexcept { return code >= 400; }
    };
    enum class event {
        nothing, // no complete line
        line,    // a line, with more lines of the same reply to follow
        reply,   // the last line of a reply
        invalid,
        overflow,
    };

    // Limits: octets in a line without its end, lines in a reply; 0 = none.
    reply_parser(std::size_t max_line, std::size_t max_lines);

    void feed(std::span<const char> bytes) { input_.append(bytes.data(), bytes.size()); }

    // Takes one line.
    event next();

    // The line taken last, without its end; valid until the next call of feed() or next().
    std::string_view line() const noexcept {
        return std::string_view(input_).substr(line_begin_, line_size_);
    }
    // After event::reply.
    const reply& last_reply() const noexcept { return reply_; }

    // No octet of a further reply has come.
    bool idle() const noexcept { return begin_ == input_.size() && !more_lines_; }
    // Octets that have come and are not taken.
    std::string_view rest() const noexcept { return std::string_view(input_).substr(begin_); }

private:
    event take(std::string_view line);

    std::size_t max_line_;
    std::size_t max_lines_;
    std::string input_;
    std::size_t begin_ = 0;   // what is before has been taken
    std::size_t scanned_ = 0; // not before begin_; no LF between the two
    std::size_t line_begin_ = 0;
    std::size_t line_size_ = 0;
    bool more_lines_ = false;
    reply reply_;
};

} // namespace smtp
