// Runs a program of the user's, or a task of our own, and waits for its end without blocking a thread
// (spec/filters-and-verifiers.md section 3).
//
// The end is the end of its output *and* its exit: a grandchild that keeps the output open delays it. At the
// time limit, on interrupt() and when it prints too much its whole process group gets SIGTERM, and a little
// later, if anything of it is left, SIGKILL; nobody waits for that. While there are too few descriptors or
// processes for one more it waits its turn, within the same limit.
//
// One that a signal has ended while this process is ending too has come to no verdict: it counts as
// interrupted.
#pragma once

#include "base/log.hpp"
#include "base/result.hpp"
#include "net/worker.hpp"
#include "os/program_starter.hpp"

#include <cstddef>
#include <memory>
#include <optional>
#include <string>

namespace net {

struct program_end {
    enum class how { exited, not_started, timed_out, too_much_output, interrupted };
    how what = how::exited;
    unsigned code = 0;   // exited: exit code, or 128+n after signal n
    std::string output;  // exited: the beginning of what it has printed
    base::error error{}; // not_started, or never started in time
};

class program_run {
public:
    // All outlive it.
    program_run(worker& on, const os::program_starter& starter) : worker_(on), starter_(starter) {}

    // `kept`: octets of output that are wanted; more is read and thrown away.
    awaitable<program_end> run(os::start_request asked, std::size_t kept, time_point deadline,
                               base::logger log);

    void interrupt(); // on the worker's thread

private:
    struct state;
    awaitable<base::result<std::shared_ptr<state>>> start(const os::start_request& asked,
                                                          time_point deadline);
    awaitable<base::result<std::shared_ptr<state>>> start_once(const os::start_request& asked,
                                                               time_point deadline);
    static awaitable<base::result<os::program_report>> next_report(std::shared_ptr<state> of);
    awaitable<bool> goes_with_us(unsigned code, time_point deadline) const;
    static awaitable<void> see_off(worker& on, std::shared_ptr<state> going);

    worker& worker_;
    const os::program_starter& starter_;
    std::shared_ptr<state> running_;
    std::optional<event> wake_; // made for the first wait
    bool interrupted_ = false;
};

} // namespace net
