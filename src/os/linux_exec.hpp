// Starts a program: the last step before exec (child_process.hpp has who asks for it).
#pragma once

#include "base/result.hpp"
#include "os/child_process.hpp"

#include <vector>

namespace os {

struct started_program {
    int pid = -1;
    descriptor end{}; // readable when it has ended
};

// `words`: path, arguments, and a null pointer. `null` and `output` are above 2. The caller has the ids that
// the program is to have. [blocks] Returns when it is running.
base::result<started_program> start_program(const std::vector<char*>& words, int null, int output);

} // namespace os
