// Base64 with the usual alphabet (RFC 4648 section 4).
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace base {

std::string base64_encode(std::string_view bytes);

// Nothing when `text` is not base64: no blanks, no line ends. Padding may be missing but not wrong.
std::optional<std::string> base64_decode(std::string_view text);

} // namespace base
