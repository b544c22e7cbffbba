// Names of threads, as ps -L and debuggers show them.
#pragma once

#include <string>

namespace os {

void name_thread(const std::string& name); // the caller; at most 15 octets of it count

} // namespace os
