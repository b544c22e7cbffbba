// What the journals of dead owners say, taken together: pure.
#pragma once

#include "spool/journal_format.hpp"

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace spool {

// One record of one owner, without its payload.
struct journal_note {
    record_kind kind = record_kind::put;
    std::uint64_t sequence = 0;
    std::int64_t time = 0;
    std::uint64_t number = 0;
    std::string id;
    std::size_t segment = 0; // where the record stands
    std::size_t offset = 0;
    std::size_t size = 0;
};

struct owner_notes {
    bool memory_survived = false;
    std::vector<journal_note> notes; // in any order
};

// What is to be seen to for one message.
struct message_notes {
    struct promise { // accepted, and not known to be gone or safe
        journal_note record;
        bool memory_survived = false;
    };
    std::vector<promise> promises; // oldest first

    bool memory_survived = true; // for all owners that tell of it
    bool begun = false;          // its content file was made before a commit that may never have come
    bool claim_open = false;     // it was in the hands of a forwarder
    bool may_be_busy = false;    // it was given back, or had been claimed: the disk may not have that record
    bool removal_open = false;   // it was deleted, which may not have reached the disk
};

using recovery_index = std::map<std::string, message_notes>;

recovery_index combine(std::vector<owner_notes> owners);

} // namespace spool
