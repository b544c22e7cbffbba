// A program that anybody on the machine may start, and that may carry a group which its caller lacks
// (set-gid).
//
// The caller is taken for hostile: what it can leave behind for us (closed standard streams, signals, timers,
// limits, a umask) is put in order first, its files are opened with its own rights, and the granted group is
// used for directories of that group alone. Single-threaded programs only.
#pragma once

#include "base/result.hpp"
#include "os/filesystem.hpp"

#include <chrono>
#include <cstddef>
#include <optional>
#include <span>
#include <string>

namespace os {

// To be called before all else: descriptors 0 to 2 are open, umask 007, timers off, a set-uid bit undone, and
// signals that would end the process put off: they get through where caller_input and caller_output wait.
void begin_as_tool();

// Opens a directory to store files in. The granted group's rights are used when the directory is that
// group's; else they are given up for good and the caller's own must do. Root's files get the directory's
// group.
base::result<file> open_directory_for_caller(filesystem& files, const std::string& path);

// A descriptor whose reads and writes wait for the other side, for a signal that ends the process, and no
// longer than `patience`. Errors: operation_canceled after a signal (see pending_signal), timed_out.
class caller_stream {
public:
    static caller_stream standard_input();
    static caller_stream standard_output();
    // The caller's file, opened with the caller's rights.
    static base::result<caller_stream> open(const std::string& path);

    caller_stream(caller_stream&& other) noexcept;
    ~caller_stream();
    caller_stream& operator=(caller_stream&&) = delete;

    base::result<std::size_t> read(std::span<char> into); // 0 at the end
    base::result<void> write(std::span<const char> bytes);
    void set_patience(std::chrono::milliseconds most) { patience_ = most; } // for each read and write
    bool is_terminal() const;

private:
    caller_stream(int descriptor, bool owned) : descriptor_(descriptor), owned_(owned) {}
    base::result<void> wait_for(short events);

    int descriptor_;
    bool owned_;
    std::optional<std::chrono::milliseconds> patience_;
};

// The signal that asked the process to end, if one did; taken once. Then: clean up, die_by().
std::optional<int> pending_signal();

// Who called: the login name of the real user, and the full name that goes with it; empty if unknown.
struct caller_names {
    std::string login;
    std::string full_name;
};
caller_names names_of_caller();

// An environment variable of the caller's.
std::optional<std::string> caller_variable(const char* name);

} // namespace os
