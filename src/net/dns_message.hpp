// What a name server has answered, taken apart (RFC 1035 section 4).
//
// Only what the relay asks for is kept: addresses, mail exchangers, and the aliases on the way to them.
#pragma once

#include "base/result.hpp"

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace net {

enum class dns_type : std::uint16_t { a = 1, cname = 5, mx = 15, aaaa = 28 };

struct dns_record {
    dns_type type = dns_type::a;
    std::string owner{};          // lower case, without the final dot
    std::string data{};           // address, or name in lower case; "" is the root
    std::uint16_t preference = 0; // of a mail exchanger
};

struct dns_answer {
    std::uint16_t id = 0;
    unsigned rcode = 0; // 0 = no error, 2 = server failure, 3 = no such name
    bool authoritative = false;
    std::vector<dns_record> records{}; // of the answer section, in its order
};

// Error: not an answer, or damaged. No more than the packet holds is kept.
base::result<dns_answer> read_dns_answer(std::span<const unsigned char> packet);

} // namespace net
