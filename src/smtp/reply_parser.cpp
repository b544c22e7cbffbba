#include "smtp/reply_parser.hpp"

#include <algorithm>
#include <limits>

namespace smtp {

namespace {

// 0 means no limit; one octet more than it must still be a number.
std::size_t limit_or_none(std::size_t limit) noexcept {
    return limit != 0 ? limit : std::numeric_limits<std::size_t>::max() - 1;
}

} // namespace

reply_parser::reply_parser(std::size_t max_line, std::size_t max_lines)
    : max_line_(limit_or_none(max_line)), max_lines_(limit_or_none(max_lines)) {}

std::string reply_parser::reply::text() const {
    std::string joined;
    for (const std::string& line : lines) {
        if (&line != &lines.front())
            joined += '\n';
        joined += line;
    }
    return joined;
}

reply_parser::event reply_parser::next() {
    // Keeps what is held small without moving it for every line.
    if (begin_ == input_.size() || begin_ > 65'536) {
        input_.erase(0, begin_);
        scanned_ -= begin_;
        begin_ = 0;
    }
    line_begin_ = line_size_ = 0;

    const std::size_t lf = input_.find('\n', scanned_);
    if (lf == std::string::npos) {
        scanned_ = input_.size();
        // One octet more than the limit may still be the CR of the line end.
        return input_.size() - begin_ > max_line_ + 1 ? event::overflow : event::nothing;
    }
    line_begin_ = begin_;
    line_size_ = lf - begin_;
    if (line_size_ > 0 && input_[lf - 1] == '\r')
        --line_size_;
    begin_ = scanned_ = lf + 1;
    return line_size_ > max_line_ ? event::overflow : take(line());
}

reply_parser::event reply_parser::take(std::string_view line) {
    const auto digit = [&line](std::size_t i) {
        return line[i] >= '0' && line[i] <= '9';
    };
    if (line.size() < 3 || line[0] < '1' || line[0] > '5' || !digit(1) || !digit(2))
        return event::invalid;
    if (line.size() > 3 && line[3] != ' ' && line[3] != '-')
        return event::invalid;
    const int code = (line[0] - '0') * 100 + (line[1] - '0') * 10 + (line[2] - '0');

    if (!more_lines_) {
        reply_.code = code;
        reply_.lines.clear();
    }
    if (code != reply_.code)
        return event::invalid;
    if (reply_.lines.size() == max_lines_)
        return event::overflow;
    reply_.lines.emplace_back(line.substr(std::min<std::size_t>(4, line.size())));
    more_lines_ = line.size() > 3 && line[3] == '-';
    return more_lines_ ? event::line : event::reply;
}

} // namespace smtp
