// Who needs content that lies in the spool directory: messages of that directory, in whatever state, and
// those of POP users, whose envelopes are in sub-directories (spec/pop-server.md section 5).
//
// All functions block, on any thread.
#pragma once

#include "base/result.hpp"
#include "spool/folder.hpp"

#include <functional>
#include <set>
#include <string>
#include <vector>

namespace spool {

struct core;

// Names of the sub-directories of the spool, hidden ones left out. Links to directories are among them, and
// whatever cannot be told from one.
base::result<std::vector<std::string>> sub_directories_of(core& shared);

// Takes those messages out of `ids` that have an envelope in the spool directory or in one of the
// sub-directories. Whatever begins like the name of an envelope is one: somebody may have put it aside. One
// that gets another name meanwhile can be missed. After an error nobody can tell who is left.
base::result<void> leave_out_needed(std::set<std::string, std::less<>>& ids, const folder& spool,
                                    const std::vector<std::string>& sub_directories);

} // namespace spool
