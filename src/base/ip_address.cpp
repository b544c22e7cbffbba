#include "base/ip_address.hpp"

#include "base/text.hpp"

#include <algorithm>
#include <charconv>
#include <cstddef>

namespace base {

namespace {

// Exactly four octets.
bool parse_v4(std::string_view text, std::uint8_t* out) noexcept {
    for (int part = 0; part < 4; ++part) {
        const std::size_t end = part < 3 ? text.find('.') : text.size();
        if (end == std::string_view::npos)
            return false;
        const std::string_view digits = text.substr(0, end);
        const auto value = to_number(digits);
        if (!value || *value > 255 || (digits.size() > 1 && digits.front() == '0'))
            return false;
        *out++ = static_cast<std::uint8_t>(*value);
        text.remove_prefix(std::min(end + 1, text.size()));
    }
    return true;
}

// Groups of 16 bits with colons between them, the last one perhaps as IPv4. The number of octets written to
// `out`, which has room for 16; nothing when the text is not of that form.
std::optional<std::size_t> parse_groups(std::string_view text, std::uint8_t* out) noexcept {
    std::size_t size = 0;
    while (!text.empty()) {
        const std::size_t colon = text.find(':');
        const std::string_view group = text.substr(0, colon);
        if (colon == std::string_view::npos && group.find('.') != std::string_view::npos) {
            if (size + 4 > 16 || !parse_v4(group, out + size))
                return std::nullopt;
            return size + 4;
        }
        unsigned value = 0;
        const auto [end, failure] = std::from_chars(group.data(), group.data() + group.size(), value, 16);
        if (group.empty() || group.size() > 4 || failure != std::errc() ||
            end != group.data() + group.size() || size + 2 > 16)
            return std::nullopt;
        out[size++] = static_cast<std::uint8_t>(value >> 8);
        out[size++] = static_cast<std::uint8_t>(value & 0xff);
        if (colon == std::string_view::npos)
            break;
        text.remove_prefix(colon + 1);
        if (text.empty())
            return std::nullopt; // a colon with nothing behind it
    }
    return size;
}

std::optional<ip_address> parse_v6(std::string_view text) noexcept {
    ip_address out;
    out.v6 = true;
    const std::size_t gap = text.find("::");
    if (gap == std::string_view::npos) {
        const auto size = parse_groups(text, out.octets.data());
        return size == 16 ? std::optional(out) : std::nullopt;
    }
    std::array<std::uint8_t, 16> tail{};
    const auto before = parse_groups(text.substr(0, gap), out.octets.data());
    const auto behind = parse_groups(text.substr(gap + 2), tail.data());
    if (!before || !behind || *before + *behind > 14)
        return std::nullopt;
    std::copy_n(tail.begin(), *behind, out.octets.end() - static_cast<std::ptrdiff_t>(*behind));
    return out;
}

} // namespace

std::optional<ip_address> parse_ip_address(std::string_view text) noexcept {
    if (text.find(':') != std::string_view::npos)
        return parse_v6(text);
    ip_address out;
    if (!parse_v4(text, out.octets.data()))
        return std::nullopt;
    return out;
}

bool same_network(const ip_address& a, const ip_address& b, unsigned bits) noexcept {
    if (a.v6 != b.v6 || bits > a.bits())
        return false;
    for (std::size_t i = 0; bits > 0; ++i) {
        const unsigned here = std::min(bits, 8U);
        if ((a.octets[i] ^ b.octets[i]) >> (8 - here) != 0)
            return false;
        bits -= here;
    }
    return true;
}

bool is_network(const ip_address& a, unsigned bits) noexcept {
    ip_address network = a;
    for (unsigned bit = bits; bit < a.bits(); ++bit)
        network.octets[bit / 8] &= static_cast<std::uint8_t>(~(0x80U >> bit % 8));
    return network == a;
}

} // namespace base
