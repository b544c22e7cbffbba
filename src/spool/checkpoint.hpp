// Flushes messages as files, in whichever state they are by now.
#pragma once

#include "spool/folder.hpp"

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace spool {

struct survivor {
    std::string id;
    bool suspect = false; // a flush of its files failed before: they must be written anew
};

// [blocks] Makes the files of these messages durable, and what has happened in the directory. A file whose
// flush fails is not asked again but written anew from `bytes_of`, which gives envelope and content as they
// were accepted. Messages that are gone are none the worse for it. Those that could not be helped come back
// in `failed`; an error says that the directory itself could not be flushed.
struct accepted_bytes {
    std::string envelope;
    std::string content;
};
base::result<void>
flush_messages(folder& dir, std::span<const survivor> messages,
               const std::function<base::result<accepted_bytes>(const std::string& id)>& bytes_of,
               std::vector<std::string>& failed);

} // namespace spool
