// Passwords of the system's accounts (spec/authentication.md section 8).
#pragma once

#include "base/result.hpp"

#include <string>
#include <string_view>

namespace os {

// Whether PAM lets `user` in with this password: pam_authenticate, then pam_acct_mgmt. Blocks for as long as
// the modules please. Errors name the call: "pam_authenticate: 7: Authentication failure". Thread-safe as far
// as the modules are.
base::result<void> pam_check(const std::string& service, const std::string& user, std::string_view password);

} // namespace os
