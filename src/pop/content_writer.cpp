#include "pop/content_writer.hpp"

#include <string_view>

namespace pop {

namespace {

constexpr std::size_t dots_expected = 64; // one to so many octets, mostly far less

} // namespace

void content_writer::add(std::span<const char> content, std::string& to) {
    std::string_view rest(content.data(), content.size());
    to.reserve(to.size() + rest.size() + rest.size() / dots_expected);
    while (!rest.empty() && !enough_) {
        const std::size_t lf = rest.find('\n');
        const std::string_view run = rest.substr(0, lf == rest.npos ? lf : lf + 1);
        rest.remove_prefix(run.size());
        append(run, to);
        const bool ends = lf != rest.npos && (run.size() > 1 ? run[run.size() - 2] == '\r' : cr_);
        // A CR alone may be the beginning of the end of an empty line, and LF alone the rest of it.
        const bool only_an_end = run == "\n" ? ends : at_line_start_ && (run == "\r\n" || run == "\r");
        line_empty_ = line_empty_ && only_an_end;
        at_line_start_ = false;
        cr_ = run.back() == '\r';
        if (ends)
            end_line();
    }
}

// A piece of a line, or the rest of it with its LF.
void content_writer::append(std::string_view run, std::string& to) {
    const std::size_t first = only_crs_ ? run.find_first_not_of('\r') : 0;
    if (only_crs_ && first != run.npos && run[first] == '.') {
        to.append(run.substr(0, first));
        to += '.';
        run.remove_prefix(first);
    }
    to.append(run);
    only_crs_ = run.back() == '\n' || (only_crs_ && first == run.npos);
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
