// The life of the process: into the background, pid file, standard streams (spec/process-and-logging.md
// section 1).
#pragma once

#include "base/result.hpp"
#include "base/secret_text.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace os {

// Goes into the background: two forks, a session of its own, cwd "/". enter() returns in the grandchild only.
// The original process waits there until it is told how the start went and exits with that code, so that the
// starting shell sees what went wrong. Before any thread exists.
class background {
public:
    background() = default;
    ~background(); // an end without a word counts as failure
    background(const background&) = delete;
    background& operator=(const background&) = delete;

    base::result<void> enter();
    void tell(int exit_code); // 0: running; harmless when not in the background
    bool entered() const noexcept { return report_ >= 0; }

private:
    int report_ = -1;
};

// Puts /dev/null where stdin, stdout or stderr is closed: a file or socket opened as one of them would
// receive what is meant for the user. First of all in every program. To read or write what was closed stays
// an error: no message is not an empty one, and what could not be printed has not been. Ends the process
// (EX_OSERR) where there is no /dev/null.
void open_standard_streams();

// Closes what was inherited, but for the standard streams and the first `kept` descriptors behind them.
// Before anything is opened.
void close_inherited_descriptors(std::size_t kept);

// Points stderr (and stdin, stdout) at /dev/null.
void close_stderr();
void close_stdin_and_stdout();

// One line with our pid, mode 0644, made with regained privilege; its parent directory is made if missing
// (one level). Removed at the end if it still holds our pid.
class pid_file {
public:
    pid_file() = default;
    ~pid_file();
    pid_file(const pid_file&) = delete;
    pid_file& operator=(const pid_file&) = delete;

    base::result<void> write(const std::string& path);
    void remove();

private:
    std::string path_;
};

// Process-wide umask.
void set_umask(unsigned mask);

void ignore_sigpipe();

// Raises the soft limit on descriptors to the hard one.
void raise_descriptor_limit();
std::size_t descriptor_limit();
std::size_t original_descriptor_limit(); // the soft one as it was before: for programs that we start

// True if the signal was being ignored when the process started.
bool is_ignored(int signal);

// Ends the process by the signal's default action, so that the parent sees 128+n.
[[noreturn]] void die_by(int signal);

// Process 1, as in a container: orphans of all others become its children.
bool is_first_process();

// Children that end are forgotten at once, those that have already ended too. Whoever waits for one of them
// learns that it is gone (ECHILD), but not how it ended. Child processes inherit this.
void leave_no_zombies();

// Directory of the executable and its base name; the directory the process was started in.
std::string program_directory();
std::string current_directory();

// Text of a small file, or nothing.
base::result<std::string> read_file(const std::string& path);
base::result<base::secret_text> read_secret_file(const std::string& path);
enum class file_kind { missing, file, directory };
file_kind look_at(const std::string& path);

// What the symbolic links behind a path name one after the other, each as an absolute path; nothing for what
// is no link. No more than the system would follow.
std::vector<std::string> links_behind(const std::string& path);

// Where the symbolic links in a directory lead that lead to directories, as absolute paths without links.
std::vector<std::string> linked_directories_in(const std::string& directory);

// Nothing if it is not set.
std::optional<std::string> environment_variable(const std::string& name);

// Whether the process may write to the directory as it is now.
bool may_write_to(const std::string& directory);

// What tells one state of a file from another; nothing if it cannot be looked at.
struct file_version {
    std::int64_t modified = 0; // nanoseconds since 1970
    std::uint64_t size = 0;
    std::uint64_t inode = 0;
    bool operator==(const file_version&) const = default;
};
std::optional<file_version> version_of(const std::string& path);
// Whether the file's mode lets every user read it; a directory on the way may still keep them out.
bool is_readable_by_all(const std::string& path);

// Node name, and the canonical name found by resolving it, empty if there is none [blocks].
std::string host_name();
std::string canonical_host_name();

unsigned processor_count();

// Columns of the terminal from COLUMNS, or 79.
unsigned terminal_columns();

} // namespace os
