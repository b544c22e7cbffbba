// Internationalised domain names as A-labels: punycode label by label, nothing else is mapped or normalised
// (spec/smtp-server.md section 5.1). By libidn2.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace mail {

// "bücher.example" -> "xn--bcher-kva.example"; ASCII labels are left as they are. Nothing if it cannot be converted.
std::optional<std::string> to_a_labels(std::string_view domain);

} // namespace mail
