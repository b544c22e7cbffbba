// Control characters beyond ASCII's, for those who make text safe for a log line or a reply.
#pragma once

#include <cstddef>
#include <string_view>

namespace base {

// Octets at the beginning of `text` that are one of the control characters U+0080 to U+009F in UTF-8, which
// terminals obey as they do ESC sequences, or a line or paragraph separator (U+2028, U+2029); else 0.
std::size_t wide_control(std::string_view text) noexcept;

} // namespace base
