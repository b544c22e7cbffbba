// Runs a function of this program in a process of its own (program_starter.hpp has who asks for it).
#pragma once

#include "base/result.hpp"
#include "os/linux_exec.hpp"
#include "os/program_starter.hpp"

#include <vector>

namespace os {

// `output` is above 3. The caller has no threads. Returns when the process is there.
base::result<started_program> start_task(task run, const std::vector<char*>& words, int output);

// The children of a process, theirs, and so on, as far as the system shows them.
std::vector<int> descendants_of(int pid);

} // namespace os
