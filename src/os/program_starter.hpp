// Another process, which starts programs for this one: filters and verifiers. What this process gives up at
// its start (sandbox.hpp) is kept from them in this way, and a process with threads need not be copied.
//
// It is a copy of this process as it was before there were threads, with no descriptor but its socket and no
// ids but those that programs are to have. It starts the programs that it was told of at the beginning and no
// others. It ends, and kills what it has started, when this process is gone for whatever reason. A keeper
// stands beside it, which makes it anew should it be killed; the programs of the killed one are killed too.
#pragma once

#include "base/result.hpp"
#include "os/child_process.hpp"

#include <string>
#include <vector>

namespace os {

class program_starter {
public:
    program_starter() = default;
    ~program_starter() { end(); }
    program_starter(const program_starter&) = delete;
    program_starter& operator=(const program_starter&) = delete;

    // `programs`: all that may be started. Before any thread exists, and with the ids given up that are to be
    // given up.
    base::result<void> begin(std::vector<std::string> programs);

    // Asks for a program; the answer is heard from the child_process. `arguments` stand behind the path,
    // which is argv[0]. It gets the descriptors 0, 1 and 2 alone, two environment variables, umask 077,
    // default signals and a process group of its own. Does not block; any thread. Errors: EAGAIN
    // if too many requests wait, EPIPE if both processes were killed, or what the system says.
    base::result<child_process> start(const std::string& path,
                                      const std::vector<std::string>& arguments) const;

    // Returns when the starter, and what it had started and was not let go, has ended. No thread uses this
    // any more.
    void end() noexcept;

private:
    descriptor requests_;
    int keeper_ = -1;
};

} // namespace os
