// One file of a journal, owned by a live process.
#pragma once

#include "os/filesystem.hpp"
#include "spool/folder.hpp"
#include "spool/journal_format.hpp"

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace spool {

// Who owns segments, and which machine run this is.
struct journal_owner {
    std::uint64_t token = 0;
    std::uint64_t pid = 0;
    std::string boot;
};

journal_owner this_process();

// ".emailrelay-journal.<pid>.<token>.<n>"
std::string segment_name(const journal_owner& owner, std::uint64_t n);
// The part that all segments of an owner share; empty if the name is no segment's.
std::string_view owner_part(std::string_view name);

struct segment {
    os::file file; // locked: that is what tells others that the owner lives
    std::string name;
    std::uint64_t size = 0;
    segment_header header;
    // Of the present use:
    std::uint64_t used = 0;
    std::uint64_t last_sequence = 0;
    bool flushed = false;    // at least once since its first octet was written
    bool distrusted = false; // a write or flush failed: nothing more is written, and it is removed in the end

    std::uint64_t room() const noexcept { return distrusted ? 0 : size - used; }
};

// [blocks] Makes a segment, filled with zeros and flushed with its name, so that overwriting it later changes
// no metadata. On failure nothing is left.
base::result<std::unique_ptr<segment>> make_segment(folder& dir, const journal_owner& owner, std::uint64_t n,
                                                    std::uint64_t size, bool flush);

} // namespace spool
