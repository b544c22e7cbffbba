#include "net/address.hpp"

#include <boost/asio/ip/address.hpp>

#include <algorithm>
#include <array>

namespace net {

namespace ip = boost::asio::ip;

std::string endpoint::display() const {
    if (unix_domain)
        return address;
    return address + (ipv6 ? '.' : ':') + std::to_string(port);
}

namespace {

bool is_local_v4(const ip::address_v4& address) {
    struct range {
        std::uint32_t network;
        unsigned bits;
    };
    static constexpr std::array<range, 5> ranges{{{0x7f000000, 8},    // 127.0.0.0/8
                                                  {0xa9fe0000, 16},   // 169.254.0.0/16
                                                  {0x0a000000, 8},    // 10.0.0.0/8
                                                  {0xac100000, 12},   // 172.16.0.0/12
                                                  {0xc0a80000, 16}}}; // 192.168.0.0/16
    return std::any_of(ranges.begin(), ranges.end(), [value = address.to_uint()](const range& r) {
        return value >> (32 - r.bits) == r.network >> (32 - r.bits);
    });
}

bool is_local_v6(const ip::address_v6& address) {
    auto bytes = address.to_bytes();
    bool link_local =
        bytes[0] == 0xfe && bytes[1] == 0x80 &&
        std::all_of(bytes.begin() + 2, bytes.begin() + 8, [](auto b) { return b == 0; }); // fe80::/64
    bool unique_local = (bytes[0] & 0xfe) == 0xfc;                                        // fc00::/7
    return address.is_loopback() || link_local || unique_local;
}

} // namespace

bool is_local(const endpoint& peer) {
    if (peer.unix_domain)
        return true;
    boost::system::error_code bad;
    ip::address address = ip::make_address(peer.address, bad);
    if (bad)
        return false;
    return address.is_v4() ? is_local_v4(address.to_v4()) : is_local_v6(address.to_v6());
}

std::string_view local_ranges(const endpoint& peer) {
    return peer.ipv6 ? "::1/128 or fe80::/64 or fc00::/7"
                     : "127.0.0.0/8, 169.254.0.0/16, 10.0.0.0/8, 172.16.0.0/12, or 192.168.0.0/16";
}

bool is_ip_literal(std::string_view text) {
    boost::system::error_code bad;
    ip::make_address(std::string(text), bad);
    return !bad;
}

} // namespace net
