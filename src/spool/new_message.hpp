// The inside of a message being received.
#pragma once

#include "spool/core.hpp"

#include <memory>
#include <optional>
#include <string>

namespace spool {

struct new_message::state {
    state(std::shared_ptr<core> c, std::string name) : owner(std::move(c)), id(std::move(name)) {}

    // [blocks] Makes the content file, under another id if the name is taken.
    base::result<void> make_file();
    base::result<void> write_held();
    // [blocks] After a clash of names: another process has the same pid (a container), or another relay of
    // this process the same spool.
    base::result<void> take_next_name();
    void remove_file();

    std::shared_ptr<core> owner;
    std::string id;
    std::string held; // octets that are not in the file yet
    os::file content; // open from the first write on
    std::uint64_t size = 0;
    std::optional<base::error> failure;
};

} // namespace spool
