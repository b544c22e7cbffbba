// Linux keeps credentials, umask and capabilities per thread; glibc's wrappers spread them over all threads,
// so the system calls are made directly.
#include "os/identity.hpp"

#include <grp.h>
#include <pwd.h>
#include <sched.h>
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <vector>

namespace os {

namespace {

constexpr auto unchanged = static_cast<uid_t>(-1);

bool set_effective_uid_of_thread(uid_t uid) {
    return ::syscall(SYS_setresuid, unchanged, uid, unchanged) == 0;
}

} // namespace

base::result<void> adopt_user(const std::string& user) {
    if (::geteuid() != 0 || user.empty() || user == "root")
        return {};
    std::vector<char> buffer(16 * 1024);
    passwd entry{};
    passwd* found = nullptr;
    ::getpwnam_r(user.c_str(), &entry, buffer.data(), buffer.size(), &found);
    if (!found)
        return base::error{{}, "no such user: " + user};
    if (::setgroups(0, nullptr) != 0)
        return base::last_error("setgroups");
    if (::setresgid(unchanged, found->pw_gid, unchanged) != 0)
        return base::last_error("setegid " + user);
    // The real uid stays root, so that root can be regained; the saved one remembers whom to become again.
    if (::setresuid(unchanged, found->pw_uid, found->pw_uid) != 0)
        return base::last_error("seteuid " + user);
    return {};
}

bool has_given_up_root() {
    return ::getuid() == 0 && ::geteuid() != 0;
}

root_scope::root_scope() : active_(has_given_up_root() && set_effective_uid_of_thread(0)) {}

root_scope::~root_scope() {
    if (!active_)
        return;
    uid_t real = 0, effective = 0, saved = 0;
    ::getresuid(&real, &effective, &saved);
    set_effective_uid_of_thread(saved);
}

void prepare_file_thread() {
    if (::unshare(CLONE_FS) == 0)
        ::umask(007);
    if (has_given_up_root())
        ::setfsuid(0);
}

} // namespace os
