// System accounts by name.
#pragma once

#include <optional>
#include <string>

namespace os {

struct account {
    std::string name;
    unsigned uid = 0;
};

// [blocks, perhaps for long: the data base may be on another machine] Nothing if there is none.
std::optional<account> find_account(const std::string& name);

} // namespace os
