// Who the process is (spec/process-and-logging.md section 4, spec/spool.md section 7, design.md section 5).
//
// Started as root with --user=U: the ids become U's, supplementary groups go, root stays as the real uid
// alone. Started by somebody else as a set-uid or set-gid program: the effective ids become the real ones,
// and what the program file gave stays as the saved ones. That is done once, before there are threads. From
// then on privilege is a matter of single threads: file threads work with the file-system ids of root (files
// become root:<group of U>) or of the program file, network threads never do.
#pragma once

#include "base/result.hpp"

#include <cstdint>
#include <string>

namespace os {

// Adopts `user` when the real uid is 0 and user is not "root"; gives up what a set-uid or set-gid program has
// when it is another. Before any thread exists. Error: "no such user: X".
base::result<void> adopt_user(const std::string& user);

// True if the process was started as root and has given that up.
bool has_given_up_root();

// Regains root, or the ids of the program file, for one scope on this thread alone: for binding sockets, pid
// file, log file, secrets. Not nestable across threads; harmless when there is nothing to regain. A file
// thread remains one.
class root_scope {
public:
    root_scope();
    ~root_scope();
    root_scope(const root_scope&) = delete;
    root_scope& operator=(const root_scope&) = delete;

private:
    bool active_ = false;
    std::uint32_t file_user_ = 0; // of the thread before, for the file system
    std::uint32_t file_group_ = 0;
};

// For a thread that only works on files of the spool and the log: its own umask 007, and the file-system ids
// that go with privilege, if there are any.
void prepare_file_thread();

// The user whom files belong to that such a thread makes.
std::uint32_t owner_of_files();

} // namespace os
