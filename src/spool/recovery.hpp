// What a process that ended without closing its spool has left: messages promised but not yet safe as files,
// `.busy` envelopes, files of messages that were never accepted (design.md sections 2 and 4).
//
// Told from the files of others by what the journals of dead owners say, and by nothing else: no lock is held
// on their segments. Where the memory of the machine has survived (same start of the machine, same file), the
// files are the truth, and a message without an envelope was removed on purpose. After a power cut the
// journals are the truth for all that they do not call settled. Nothing that anybody may still deliver is
// ever overwritten by something else: in doubt a message is restored under a new name.
//
// The journals go when everything restored is flushed; doing all of it twice is harmless.
#pragma once

#include "base/log.hpp"
#include "base/result.hpp"
#include "spool/core.hpp"

#include <set>
#include <string>
#include <string_view>

namespace spool {

// Names in the directory that are segments of others.
using segment_names = std::set<std::string, std::less<>>;

// [blocks] Cheap: true if one of these owners is dead.
bool any_owner_is_dead(folder& dir, const segment_names& names);

// [blocks] With `wait`, waits for the recovery of another process; without, leaves the work to it.
base::result<void> recover(core& shared, bool wait);

} // namespace spool
