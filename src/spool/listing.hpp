// What is in a spool directory, for people to read: nothing is locked or changed.
#pragma once

#include "mail/envelope.hpp"
#include "spool/folder.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace spool {

enum class listed_state { ready, being_sent, failed };

struct listed_message {
    std::string id;
    listed_state state = listed_state::ready;
    std::optional<std::uint64_t> content_size;     // nothing if there is no content file
    std::optional<mail::parsed_envelope> envelope; // nothing if it cannot be read
};

// [blocks] Oldest first. Messages that go or change while they are looked at may be missing.
base::result<std::vector<listed_message>> list_messages(const folder& dir);

} // namespace spool
