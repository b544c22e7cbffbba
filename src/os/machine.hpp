// What tells one run of one process on one machine from all others.
#pragma once

#include <cstdint>
#include <string>

namespace os {

std::uint64_t process_id();

// Differs after each start of the machine; empty if unknown. Memory that was not written to a disk survives
// as long as it stays the same.
std::string boot_id();

// From the system's generator.
std::uint64_t random_number();

// Nanoseconds since 1970, UTC.
std::int64_t nanoseconds_now();

} // namespace os
