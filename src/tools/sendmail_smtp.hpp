// sendmail -bs: SMTP on the standard streams, for programs on the same machine.
#pragma once

#include "tools/store_input.hpp"

#include <functional>
#include <string>

namespace tools {

// Until QUIT, the end of the input, or a signal (operation_canceled). `mail_domain` is asked for addresses
// without a domain.
base::result<void> serve_standard_streams(opened_spool& into, const std::string& domain,
                                          const std::function<std::string()>& mail_domain);

} // namespace tools
