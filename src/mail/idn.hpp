// Internationalised domain names as A-labels: punycode label by label, nothing else is mapped, normalised or
// refused (spec/smtp-server.md section 5.1).
//
// The encoding of RFC 3492 is GNU libidn's. libidn2 has it only behind the checks of IDNA 2008, which refuse
// "BÜCHER.example", and a non-ASCII domain alone is never a reason to refuse mail.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace mail {

// "bücher.example" -> "xn--bcher-kva.example"; ASCII labels are left as they are, so that what comes out goes
// in and comes out again unchanged. Nothing if the name is not UTF-8 or a label to be encoded is absurdly
// long.
std::optional<std::string> to_a_labels(std::string_view domain);

} // namespace mail
