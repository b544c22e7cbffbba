#include "mail/idn.hpp"

#include "base/text.hpp"

#include <algorithm>
#include <cstdint>

namespace mail {

namespace {

// Far beyond the 63 octets of a DNS label; the limit keeps the arithmetic below from overflowing and its
// time, quadratic in the worst case, small. What is ASCII needs no arithmetic and has no limit.
constexpr std::size_t longest_label = 1024;

std::u32string code_points(std::string_view utf8) {
    std::u32string out;
    for (std::size_t i = 0; i < utf8.size();) {
        const auto lead = static_cast<unsigned char>(utf8[i++]);
        const int more = lead >= 0xf0 ? 3 : lead >= 0xe0 ? 2 : lead >= 0xc0 ? 1 : 0;
        char32_t point = more ? lead & (0x3fU >> more) : lead;
        for (int k = 0; k < more; ++k)
            point = point << 6 | (static_cast<unsigned char>(utf8[i++]) & 0x3fU);
        out += point;
    }
    return out;
}

// RFC 3492 section 5: the parameters of Punycode.
constexpr std::uint32_t base36 = 36, t_min = 1, t_max = 26, skew = 38, damp = 700, first_bias = 72,
                        first_point = 0x80;

char digit(std::uint32_t value) {
    return static_cast<char>(value < 26 ? 'a' + value : '0' + (value - 26));
}

// RFC 3492 section 6.1.
std::uint32_t adapt(std::uint32_t delta, std::uint32_t points, bool first) {
    delta = first ? delta / damp : delta / 2;
    delta += delta / points;
    std::uint32_t k = 0;
    for (; delta > (base36 - t_min) * t_max / 2; k += base36)
        delta /= base36 - t_min;
    return k + (base36 - t_min + 1) * delta / (delta + skew);
}

// RFC 3492 section 6.3: a generalised variable-length integer, least significant digit first.
void append_number(std::string& out, std::uint32_t value, std::uint32_t bias) {
    for (std::uint32_t k = base36;; k += base36) {
        const std::uint32_t t = k <= bias ? t_min : std::min(k - bias, t_max);
        if (value < t)
            break;
        out += digit(t + (value - t) % (base36 - t));
        value = (value - t) / (base36 - t);
    }
    out += digit(value);
}

std::string punycode(std::u32string_view label) {
    std::string out;
    for (char32_t c : label)
        if (c < first_point)
            out += static_cast<char>(c);
    const auto basic = static_cast<std::uint32_t>(out.size());
    if (basic)
        out += '-';

    std::uint32_t handled = basic, delta = 0, bias = first_bias;
    char32_t next = first_point;
    while (handled < label.size()) {
        char32_t smallest = 0x110000;
        for (char32_t c : label)
            if (c >= next)
                smallest = std::min(smallest, c);
        delta += (smallest - next) * (handled + 1);
        next = smallest;
        for (char32_t c : label) {
            if (c < next)
                ++delta;
            if (c == next) {
                append_number(out, delta, bias);
                bias = adapt(delta, handled + 1, handled == basic);
                delta = 0;
                ++handled;
            }
        }
        ++delta;
        ++next;
    }
    return out;
}

} // namespace

std::optional<std::string> to_a_labels(std::string_view domain) {
    if (!base::is_utf8(domain))
        return std::nullopt;
    std::string out;
    for (;;) {
        const std::size_t dot = domain.find('.');
        const std::string_view label = domain.substr(0, dot);
        if (base::is_ascii(label))
            out += label;
        else if (label.size() > longest_label)
            return std::nullopt;
        else
            out.append("xn--").append(punycode(code_points(label)));
        if (dot == std::string_view::npos)
            return out;
        out += '.';
        domain.remove_prefix(dot + 1);
    }
}

} // namespace mail
