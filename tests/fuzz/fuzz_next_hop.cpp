// The address forms of the next hop. Oracle: what is understood is understood again, and as the same, when it
// is written in the plainest form.
#include "mail/next_hop.hpp"

#include <cstdlib>
#include <string>
#include <string_view>

namespace {

std::string plain(const std::string& host, const std::string& service) {
    return (host.find(':') == std::string::npos ? host : "[" + host + "]") + ":" + service;
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
    const std::string text(reinterpret_cast<const char*>(data), size);
    const auto hop = mail::parse_next_hop(text);
    if (!hop.has_value()) {
        if (hop.error().message() != "invalid host:service format: " + text)
            std::abort();
        return 0;
    }
    std::string again = hop->path;
    if (again.empty())
        again = plain(hop->host, hop->service);
    if (!hop->socks_host.empty())
        again += "@" + plain(hop->socks_host, hop->socks_service);
    const auto same = mail::parse_next_hop(again);
    if (!same.has_value() || !(*same == *hop))
        std::abort();
    return 0;
}
