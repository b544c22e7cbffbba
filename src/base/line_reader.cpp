#include "base/line_reader.hpp"

namespace base {

namespace {

constexpr std::string_view line_end = "\r\n";

} // namespace

std::optional<line_reader::line> line_reader::take(std::span<const char>& input) {
    if (handed_out_) {
        kept_.clear(); // idle sessions hold no buffer
        handed_out_ = false;
    }
    const std::string_view rest(input.data(), input.size());
    if (!begun()) {
        if (const std::size_t end = rest.find(line_end); end != std::string_view::npos) {
            input = input.subspan(end + line_end.size());
            return finish(rest.substr(0, end), end);
        }
        keep(rest);
        input = {};
        return std::nullopt;
    }

    const bool cr_was_last = ends_with_cr_ && !rest.empty() && rest.front() == '\n';
    const std::size_t end = cr_was_last ? 1 : rest.find(line_end);
    if (end == std::string_view::npos) {
        keep(rest);
        input = {};
        return std::nullopt;
    }
    const std::size_t used = cr_was_last ? 1 : end + line_end.size();
    keep(rest.substr(0, used));
    input = input.subspan(used);
    const std::size_t size = size_ - line_end.size();
    size_ = 0;
    ends_with_cr_ = false;
    handed_out_ = true;
    return finish(kept_.view().substr(0, size), size);
}

line_reader::line line_reader::finish(std::string_view text, std::size_t size) {
    ++finished_;
    if (limit_ && size > limit_)
        return {{}, size, true};
    return {text, size, false};
}

void line_reader::keep(std::string_view piece) {
    if (piece.empty())
        return;
    size_ += piece.size();
    ends_with_cr_ = piece.back() == '\r';
    if (limit_ && size_ > limit_ + line_end.size())
        kept_.clear();
    else
        kept_.append(piece);
}

} // namespace base
