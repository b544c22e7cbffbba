// The envelope of a message in each sub-directory of the spool, where POP users find it by name; the content
// stays in the spool directory itself (spec/utilities.md sections 1.5 and 4).
#pragma once

#include "spool/folder.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace spool {

class envelope_copies {
public:
    explicit envelope_copies(folder& dir) : dir_(dir) {}

    // [blocks] Writes "<id>.envelope", flushed, into each sub-directory, hidden ones too. Goes on after a
    // failure. Symbolic links are no sub-directories. Fails as a whole with the first failure, or if there is
    // none to copy into: "no sub-directories to copy into: check permissions".
    base::result<void> make(const std::string& id, std::string_view envelope);

    std::size_t made() const noexcept { return made_.size(); }
    void undo(); // [blocks] removes what make() made

private:
    struct copy {
        std::string sub_directory;
        std::string name;
    };
    base::result<void> make_one(const std::string& sub_directory, const std::string& id,
                                std::string_view envelope);

    folder& dir_;
    std::vector<copy> made_;
};

} // namespace spool
