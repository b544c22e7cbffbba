// Programs of users: filters and verifiers (spec/filters-and-verifiers.md section 3, design.md section 5).
//
// A program is started without a copy of this process and without a shell: only the descriptors 0, 1 and 2,
// two environment variables, umask 077, default signals, a process group of its own, and the effective ids of
// this process in all places, so that root cannot be regained. It is waited for by its descriptor, which an
// event loop can watch.
#pragma once

#include "base/result.hpp"

#include <string>
#include <utility>
#include <vector>

namespace os {

// Closed with its owner.
class descriptor {
public:
    descriptor() = default;
    explicit descriptor(int number) noexcept : number_(number) {}
    descriptor(descriptor&& other) noexcept : number_(other.release()) {}
    descriptor& operator=(descriptor&& other) noexcept {
        if (this != &other) {
            reset();
            number_ = other.release();
        }
        return *this;
    }
    ~descriptor() { reset(); }

    int number() const noexcept { return number_; }
    int release() noexcept { return std::exchange(number_, -1); }
    void reset() noexcept;

private:
    int number_ = -1;
};

// A started program. One that is destroyed before it was reaped is killed with its group.
class child_process {
public:
    child_process() = default;
    child_process(child_process&& other) noexcept;
    child_process& operator=(child_process&& other) noexcept;
    ~child_process();

    // [blocks] Returns when the program is running, with its standard output as a pipe, or with the error of
    // starting it. `arguments` stand behind the path, which is argv[0].
    static base::result<child_process> start(const std::string& path,
                                             const std::vector<std::string>& arguments);

    // Readable once the program has ended; it stays a zombie, and its group's number its own, until reap().
    descriptor take_exit() noexcept { return std::move(exit_); }
    // What it prints; does not block.
    descriptor take_output() noexcept { return std::move(output_); }

    enum class severity { terminate, kill };
    void signal_group(severity how) noexcept;

    // Exit code, or 128+n after signal n. Waits if the program has not ended yet.
    unsigned reap() noexcept;

private:
    int pid_ = -1;
    descriptor exit_;
    descriptor output_;
};

} // namespace os
