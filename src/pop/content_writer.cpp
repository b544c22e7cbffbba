#include "pop/content_writer.hpp"

namespace pop {

void content_writer::add(std::span<const char> content, std::string& to) {
    for (char c : content) {
        if (enough_)
            return;
        if (at_line_start_ && c == '.')
            to += '.';
        to += c;
        bool ends = cr_ && c == '\n';
        cr_ = c == '\r';
        if (ends) {
            end_line();
            continue;
        }
        // A CR alone may be the beginning of the end of an empty line.
        if (!(at_line_start_ && cr_))
            line_empty_ = false;
        at_line_start_ = false;
    }
}

void content_writer::end_line() {
    bool empty = line_empty_;
    at_line_start_ = line_empty_ = true;
    cr_ = false;
    if (!left_)
        return;
    if (!in_body_) {
        in_body_ = empty;
        enough_ = in_body_ && *left_ == 0;
    } else if (--*left_ == 0) {
        enough_ = true;
    }
}

void content_writer::finish(std::string& to) {
    if (!at_line_start_)
        to += cr_ ? "\n" : "\r\n";
    if (left_ && !in_body_)
        to += "\r\n";
    to += ".\r\n";
}

} // namespace pop
