// Linked into sanitized builds of the programs that tests install set-gid: the leak checker cannot look at
// such a process, nor be told so through its environment, and would make it fail. Asked at the end of the
// process.
#include <unistd.h>

extern "C" int __lsan_is_turned_off() {
    return ::getegid() != ::getgid() ? 1 : 0;
}
