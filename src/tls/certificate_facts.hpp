// What our own certificate says of itself, for somebody who asks what would run.
#pragma once

#include "base/result.hpp"

#include <string>
#include <vector>

namespace tls {

struct certificate_facts {
    std::string subject;   // "/C=DE/CN=x"
    std::string not_after; // "2049-01-01 00:00:00 UTC"
    bool expired = false;
};

// Of the certificate that belongs to the private key in these PEM files (tls::settings); if there is no such
// pair, of the first. [blocks] With the privilege that the process was started with.
base::result<certificate_facts> facts_of_certificate(const std::vector<std::string>& files);

} // namespace tls
