#include "os/accounts.hpp"

#include <pwd.h>

#include <cerrno>
#include <vector>

namespace os {

std::optional<account> find_account(const std::string& name) {
    if (name.empty() || name.find('\0') != name.npos)
        return std::nullopt;
    constexpr std::size_t most = 1 << 20;
    for (std::vector<char> buffer(16 * 1024); buffer.size() <= most; buffer.resize(buffer.size() * 2)) {
        passwd entry{};
        passwd* found = nullptr;
        int failed = ::getpwnam_r(name.c_str(), &entry, buffer.data(), buffer.size(), &found);
        if (failed == ERANGE)
            continue;
        return found ? std::optional(account{found->pw_name, found->pw_uid}) : std::nullopt;
    }
    return std::nullopt;
}

} // namespace os
