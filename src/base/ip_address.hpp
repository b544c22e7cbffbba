// IP addresses as octets, for comparing them; pure, unlike net's.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

namespace base {

struct ip_address {
    std::array<std::uint8_t, 16> octets{}; // the first four of IPv4
    bool v6 = false;

    unsigned bits() const noexcept { return v6 ? 128 : 32; }
    bool operator==(const ip_address&) const = default;
};

// "192.0.2.1" (four decimal parts, no leading zeros) or "2001:db8::1" (RFC 4291 section 2.2, any case), with
// no brackets and no scope.
std::optional<ip_address> parse_ip_address(std::string_view text) noexcept;

// Whether the two agree in the first `bits` bits. Addresses of different families never do.
bool same_network(const ip_address& a, const ip_address& b, unsigned bits) noexcept;

// Whether all bits behind the first `bits` are zero.
bool is_network(const ip_address& a, unsigned bits) noexcept;

} // namespace base
