// Listening sockets from the service manager (systemd's sd_listen_fds(3)).
#pragma once

#include "base/result.hpp"

#include <vector>

namespace os {

// The descriptors that LISTEN_FDS announces to this process (LISTEN_PID), from 3 on; none if it announces
// none. They will not be inherited further, and the variables are gone. To be called before the process
// forks, as it then has another number, and before there are threads. Error: a descriptor that is announced
// and not open.
base::result<std::vector<int>> take_activation_sockets();

} // namespace os
