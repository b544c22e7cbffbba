// What the process gives up for good once it is set up, so that somebody who takes it over finds little
// (docs/security.md). The list of what it keeps is made for the relay; programs of users are started by
// another process (program_starter.hpp).
//
// Both functions also see to it that nothing that the process starts gains privilege. Neither can be undone.
// An error, mostly of a kernel that has no such thing, leaves everything as it was.
#pragma once

#include "base/result.hpp"

#include <string>
#include <vector>

namespace os {

// Files and directories, with all below them. What does not exist is passed over.
struct reachable_files {
    std::vector<std::string> readable;
    std::vector<std::string> writable; // read, written, made, renamed, removed
};

// Files are opened, made and removed there alone (Landlock). For the calling thread and those that it makes:
// to be called before there are others. What is open stays open.
base::result<void> restrict_files(const reachable_files& files);

// System calls that the relay has no use for fail from now on as if the kernel did not have them (seccomp):
// no program is started, no process looked into, no memory made executable. For all threads.
// `loads_modules`: the system may have libraries to load, for its data bases of accounts.
base::result<void> restrict_calls(bool loads_modules);

} // namespace os
