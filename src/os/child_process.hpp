// A program of the user's that runs, or is about to: a filter or verifier (spec/filters-and-verifiers.md
// section 3, design.md section 5). Or a task of our own (program_starter.hpp).
//
// It is a child of the starter (program_starter.hpp), which is told about it, and tells of it, through a
// socket of the program's own. One thread at a time uses a child_process; nothing here blocks.
#pragma once

#include "base/result.hpp"

#include <optional>
#include <string>
#include <utility>

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

// What the starter says of a program. In this form on its socket, too.
struct program_report {
    enum class kind : int { started, not_started, ended };
    kind what = kind::started;
    int value = 0; // not_started: errno; ended: exit code, or 128+n after signal n
};

// One that is destroyed before let_go() is killed with its group, or not started at all.
class child_process {
public:
    child_process() = default;
    // `what` stands in errors.
    child_process(std::string what, descriptor reports, descriptor output)
        : what_(std::move(what)), reports_(std::move(reports)), output_(std::move(output)) {}

    // Readable when there is something to hear.
    int reports() const noexcept { return reports_.number(); }

    // The next report, or nothing if there is none yet. Error: the program cannot be started (with the reason
    // of the system), or the starter is lost before it said anything: EAGAIN, as it may come back. A program
    // lost later counts as killed.
    base::result<std::optional<program_report>> hear();

    // What it prints; does not block.
    descriptor take_output() noexcept { return std::move(output_); }

    void terminate() noexcept; // SIGTERM to its group

    // It has ended; others of its group, if there are any, may live on after this object.
    void let_go() noexcept;

private:
    std::string what_;
    descriptor reports_;
    descriptor output_;
    bool started_ = false;
};

} // namespace os
