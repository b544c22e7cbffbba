// Writing to a descriptor that somebody else reads, or does not: a pipe, a terminal, with O_NONBLOCK or
// without.
#pragma once

#include <chrono>
#include <cstddef>
#include <optional>
#include <string_view>

namespace os {

// Writes all of it [blocks]. With `patience` it does not wait longer than that for room, in all; without, for
// as long as it takes. The result is what was written: less when the patience was not enough, or the write
// failed (the reader has gone, the disk is full).
std::size_t write_patiently(int fd, std::string_view text, std::optional<std::chrono::milliseconds> patience);

// To stderr, without waiting longer than a few seconds.
void write_to_stderr(std::string_view text);

} // namespace os
