// An answer of a name server.
//
// Whatever the octets are: no more records than they can hold, each with names no longer than the DNS has.

#include "net/dns_message.hpp"
#include "support.hpp"

#include <cstddef>
#include <cstdint>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    constexpr std::size_t least_record = 11, longest_name = 255 * 4; // as text an octet may be "\255"
    auto answer = net::read_dns_answer({data, size});
    if (answer.has_error())
        return 0;
    require(size >= 12);
    require(answer->records.size() * least_record <= size);
    for (const net::dns_record& record : answer->records) {
        require(record.owner.size() <= longest_name && record.data.size() <= longest_name);
        require(record.type == net::dns_type::mx || record.preference == 0);
    }
    return 0;
}
