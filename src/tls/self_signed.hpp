// A self-signed certificate with its key, for tests and first steps (spec/utilities.md section 3).
#pragma once

#include "base/result.hpp"

#include <string>
#include <string_view>

namespace tls {

// `subject` is also the issuer: "CN=example.com" or "CN=mail.example.com,O=Example,C=DE", with \ in front of
// a comma that belongs to a value. Takes a while: the key has 4096 bits. Gives key and certificate in PEM.
base::result<std::string> make_self_signed(std::string_view subject);

} // namespace tls
