#include "mail/idn.hpp"

#include "base/text.hpp"

#include <punycode.h>

#include <cstdint>
#include <vector>

namespace mail {

namespace {

// Far beyond the 63 octets of a DNS label; the limit keeps the arithmetic from overflowing and its time,
// quadratic in the worst case, small. What is ASCII needs no arithmetic and has no limit.
constexpr std::size_t longest_label = 1024;

// RFC 3492 section 3.3: a code point has no more digits than these, 32 bits in base 36 at its worst.
constexpr std::size_t most_digits = 7;

std::vector<std::uint32_t> code_points(std::string_view utf8) {
    std::vector<std::uint32_t> out;
    for (std::size_t i = 0; i < utf8.size();) {
        const auto lead = static_cast<unsigned char>(utf8[i++]);
        const int more = lead >= 0xf0 ? 3 : lead >= 0xe0 ? 2 : lead >= 0xc0 ? 1 : 0;
        std::uint32_t point = more ? lead & (0x3fU >> more) : lead;
        for (int k = 0; k < more; ++k)
            point = point << 6 | (static_cast<unsigned char>(utf8[i++]) & 0x3fU);
        out.push_back(point);
    }
    return out;
}

std::optional<std::string> punycode(std::string_view label) {
    const std::vector<std::uint32_t> points = code_points(label);
    std::string out(1 + points.size() * most_digits, '\0');
    std::size_t size = out.size();
    if (::punycode_encode(points.size(), points.data(), nullptr, &size, out.data()) != PUNYCODE_SUCCESS)
        return std::nullopt;
    out.resize(size);
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
        if (base::is_ascii(label)) {
            out += label;
        } else {
            const auto encoded = label.size() <= longest_label ? punycode(label) : std::nullopt;
            if (!encoded)
                return std::nullopt;
            out.append("xn--").append(*encoded);
        }
        if (dot == std::string_view::npos)
            return out;
        out += '.';
        domain.remove_prefix(dot + 1);
    }
}

} // namespace mail
