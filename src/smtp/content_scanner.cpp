#include "smtp/content_scanner.hpp"

#include <cstring>

namespace smtp {

// Dots are the rarest of the octets of the end mark (an attachment in base64 has none), so it is dots that
// are looked for.
content_scanner::piece content_scanner::scan(std::span<const char> data) {
    if (data.empty())
        return {};
    if (before_ == before::dot)
        return after_dot(data);
    if (before_ == before::dot_cr)
        return after_dot_cr(data);

    for (std::size_t from = 0;;) {
        const void* found =
            from == data.size() ? nullptr : std::memchr(data.data() + from, '.', data.size() - from);
        if (!found) {
            remember_end_of(data);
            return {data, data.size(), false};
        }
        const auto dot = static_cast<std::size_t>(static_cast<const char*>(found) - data.data());
        if (starts_line(data, dot)) {
            before_ = before::dot;
            return {data.first(dot), dot + 1, false};
        }
        from = dot + 1;
    }
}

// The dot goes, whether it was stuffing or half of the end mark.
content_scanner::piece content_scanner::after_dot(std::span<const char> data) {
    if (data[0] != '\r') {
        before_ = before::other;
        return scan(data);
    }
    if (data.size() == 1) {
        before_ = before::dot_cr;
        return {{}, 1, false};
    }
    if (data[1] == '\n')
        return {{}, 2, true};
    before_ = before::other;
    return scan(data);
}

content_scanner::piece content_scanner::after_dot_cr(std::span<const char> data) {
    if (data[0] == '\n')
        return {{}, 1, true};
    static constexpr char cr[] = {'\r'};
    before_ = before::cr;
    return {cr, 0, false};
}

bool content_scanner::starts_line(std::span<const char> data, std::size_t at) const {
    if (at == 0)
        return before_ == before::line_start;
    if (data[at - 1] != '\n')
        return false;
    return at == 1 ? before_ == before::cr : data[at - 2] == '\r';
}

void content_scanner::remember_end_of(std::span<const char> data) {
    if (starts_line(data, data.size()))
        before_ = before::line_start;
    else
        before_ = data.back() == '\r' ? before::cr : before::other;
}

} // namespace smtp
