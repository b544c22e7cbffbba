// Another process, which starts programs for this one, or runs one function of this program: filters and
// verifiers, PAM. What this process gives up at its start (sandbox.hpp) is kept from them in this way, and a
// process with threads need not be copied.
//
// It is a copy of this process as it was before there were threads, with no descriptor but its socket. It
// starts what it was told of at the beginning and nothing else, each in a process of its own. It ends, and
// kills what it has started, when this process is gone for whatever reason. A keeper stands beside it, which
// makes it anew should it be killed; what the killed one had started is killed too.
#pragma once

#include "base/result.hpp"
#include "base/secret_text.hpp"
#include "os/child_process.hpp"

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace os {

// What is to be started: the path of a program and its arguments, or a function's arguments. Wiped, as there
// may be a password among them; NULs end a word.
class start_request {
public:
    explicit start_request(std::string_view first) { add(first); }
    void add(std::string_view word) {
        words_.append(word);
        words_.append(1, '\0');
    }

    std::string first() const { return words_.view().data(); }
    std::string_view packet() const noexcept { return words_.view(); } // a NUL behind each word

private:
    base::secret_text words_;
};

// A function to be run in a process of its own: its words, with a null pointer behind the last one; what it
// returns is what it prints, up to 4096 octets. What else it does to its process concerns nobody.
using task = std::string (*)(const std::vector<char*>& words);

struct starter_conduct;

class program_starter {
public:
    program_starter() = default;
    ~program_starter() { end(); }
    program_starter(const program_starter&) = delete;
    program_starter& operator=(const program_starter&) = delete;

    // Both: before any thread exists, and with the ids given up that are to be given up.

    // `programs`: all that may be started. They can regain no ids. Each gets the descriptors 0, 1 and 2
    // alone, two environment variables, umask 077, default signals and a process group of its own.
    base::result<void> begin(std::vector<std::string> programs);

    // With the ids, the environment and the umask of this process, the descriptors 0, 1 and 2 on /dev/null,
    // default signals but SIGPIPE and a process group of its own; `most` at a time. `name` stands in
    // errors, `title` is the processes' (15 octets).
    base::result<void> begin(std::string name, const std::string& title, task run, std::size_t most);

    // The answer is heard from the child_process. Does not block; any thread. Errors: EAGAIN if too many
    // requests wait, EPIPE if both processes were killed, or what the system says.
    base::result<child_process> start(const start_request& asked) const;

    // Returns when the starter, and what it had started and was not let go, has ended. No thread uses this
    // any more.
    void end() noexcept;

private:
    base::result<void> fork_keeper(const starter_conduct& how);

    descriptor requests_;
    int keeper_ = -1;
    std::string name_ = "program starter";
    bool runs_programs_ = true;
};

} // namespace os
