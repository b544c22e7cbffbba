#include "submit/content_splitter.hpp"

#include "mail/header_section.hpp"

#include <algorithm>
#include <utility>

namespace submit {

namespace {

constexpr std::size_t longest_held_line = 64 * 1024; // of the body

std::string_view without_cr(std::string_view line) {
    if (line.ends_with('\r'))
        line.remove_suffix(1);
    return line;
}

} // namespace

void content_splitter::feed(std::span<const char> bytes) {
    if (over_ || too_large_)
        return;
    held_.append(bytes.data(), bytes.size());
    take_lines(false);
}

void content_splitter::end() {
    if (over_ || too_large_)
        return;
    take_lines(true);
    in_body_ = true;
    over_ = true;
}

void content_splitter::take_lines(bool at_end) {
    std::size_t begin = 0;
    for (std::size_t end; !over_ && (end = held_.find('\n', std::max(begin, searched_))) != held_.npos;
         begin = end + 1)
        take_line(std::string_view(held_).substr(begin, end - begin));
    held_.erase(0, begin);
    searched_ = held_.size();
    if (over_)
        held_.clear();
    else if (at_end && (!held_.empty() || within_line_))
        take_line(std::exchange(held_, {}));
    else if (in_body_ && held_.size() > longest_held_line)
        take_long_line();
    if (header_.size() + (in_body_ ? 0 : held_.size()) > max_header)
        too_large_ = true;
}

// `line` is without its LF.
void content_splitter::take_line(std::string_view line) {
    line = without_cr(line);
    if (how_.dot_ends && !within_line_ && line == ".") {
        over_ = true;
        in_body_ = true;
    } else if (in_body_) {
        body_.append(line).append("\r\n");
        within_line_ = false;
    } else {
        take_header_line(line);
    }
}

void content_splitter::take_header_line(std::string_view line) {
    if (line.empty()) {
        in_body_ = true;
        return;
    }
    const bool continues = !header_.empty() && (line.front() == ' ' || line.front() == '\t');
    if (how_.header_ends_by_itself && !continues && mail::field_name(line).empty()) {
        if (header_.empty() && line.starts_with("From "))
            return;
        in_body_ = true;
        return take_line(line);
    }
    header_.append(line).append("\r\n");
}

// Of a line without end all but a CR, which may be a part of its end.
void content_splitter::take_long_line() {
    const std::string_view line = without_cr(held_);
    body_ += line;
    held_.erase(0, line.size());
    searched_ = 0;
    within_line_ = true;
}

std::string content_splitter::take_body() {
    return std::exchange(body_, {});
}

} // namespace submit
