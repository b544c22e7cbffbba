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
constexpr auto unchanged_group = static_cast<gid_t>(-1);

struct user_ids {
    user_ids() { ::getresuid(&real, &effective, &saved); }
    uid_t real = 0, effective = 0, saved = 0;
};

struct group_ids {
    group_ids() { ::getresgid(&real, &effective, &saved); }
    gid_t real = 0, effective = 0, saved = 0;
};

// In an order in which a privilege is there for as long as it is needed.
void set_effective_ids_of_thread(uid_t uid, gid_t gid) {
    if (uid == 0)
        ::syscall(SYS_setresuid, unchanged, uid, unchanged);
    ::syscall(SYS_setresgid, unchanged_group, gid, unchanged_group);
    if (uid != 0)
        ::syscall(SYS_setresuid, unchanged, uid, unchanged);
}

// A set-uid or set-gid program; what it was given stays behind as the saved ids. Others do not ask for what
// they have: where a service manager forbids these calls that would fail.
base::result<void> return_to_real_ids() {
    if (::getegid() != ::getgid() && ::setresgid(unchanged_group, ::getgid(), unchanged_group) != 0)
        return base::last_error("setegid");
    if (::geteuid() != ::getuid() && ::setresuid(unchanged, ::getuid(), unchanged) != 0)
        return base::last_error("seteuid");
    return {};
}

} // namespace

base::result<void> adopt_user(const std::string& user) {
    if (::getuid() != 0)
        return return_to_real_ids();
    if (user.empty() || user == "root")
        return {};
    std::vector<char> buffer(16 * 1024);
    passwd entry{};
    passwd* found = nullptr;
    ::getpwnam_r(user.c_str(), &entry, buffer.data(), buffer.size(), &found);
    if (!found)
        return base::error{{}, "no such user: " + user};
    if (::setresuid(unchanged, 0, unchanged) != 0) // it may be a set-uid program that root has started
        return base::last_error("seteuid root");
    if (::setgroups(0, nullptr) != 0)
        return base::last_error("setgroups");
    if (::setresgid(found->pw_gid, found->pw_gid, found->pw_gid) != 0)
        return base::last_error("setgid " + user);
    // The real uid stays root, so that root can be regained; the saved one remembers whom to become again.
    if (::setresuid(unchanged, found->pw_uid, found->pw_uid) != 0)
        return base::last_error("seteuid " + user);
    return {};
}

bool has_given_up_root() {
    return ::getuid() == 0 && ::geteuid() != 0;
}

root_scope::root_scope() {
    user_ids user;
    group_ids group;
    uid_t uid = user.real == 0 ? 0 : user.saved;
    gid_t gid = user.real == 0 ? group.effective : group.saved;
    active_ = uid != user.effective || gid != group.effective;
    if (!active_)
        return;
    file_user_ = static_cast<uid_t>(::setfsuid(unchanged)); // gives the present one
    file_group_ = static_cast<gid_t>(::setfsgid(unchanged_group));
    set_effective_ids_of_thread(uid, gid);
}

root_scope::~root_scope() {
    if (!active_)
        return;
    user_ids user;
    group_ids group;
    if (user.real == 0)
        set_effective_ids_of_thread(user.saved, group.effective);
    else
        set_effective_ids_of_thread(user.real, group.real);
    // Which has set these two as well.
    ::setfsgid(file_group_);
    ::setfsuid(file_user_);
}

void prepare_file_thread() {
    if (::unshare(CLONE_FS) == 0)
        ::umask(007);
    user_ids user;
    group_ids group;
    if (user.real == 0) {
        ::setfsuid(0);
    } else {
        ::setfsgid(group.saved);
        ::setfsuid(user.saved);
    }
}

std::uint32_t owner_of_files() {
    user_ids user;
    return user.real == 0 ? 0 : user.saved;
}

} // namespace os
