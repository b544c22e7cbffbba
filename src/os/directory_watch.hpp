// The names that come to and go from a directory, as the kernel tells of them: who has read them need not
// list the directory again.
//
// A change is there to be read before the call that makes it returns, and changes are told in the order in
// which they were made. Thread-safe, but that one thread at a time reads.
#pragma once

#include "base/result.hpp"

#include <functional>
#include <memory>
#include <string_view>

namespace os {

class directory_watch {
public:
    enum class change { came, went };
    enum class state {
        following, // nothing is missing
        overrun,   // changes were lost, more of them than the kernel keeps; later ones are told again
        ended,     // the directory has gone: there will be no more
    };

    virtual ~directory_watch() = default;

    // All that has happened since the last call; never waits. A name may come that has come before: another
    // file has been put in its place.
    virtual state read(const std::function<void(change, std::string_view name)>& each) = 0;

    virtual void wait() = 0; // until there is something to read or end() has been called
    virtual void end() = 0;  // from now on wait() does not wait
};

// Error: operation_not_supported where the kernel does not hear of everything that happens (network file
// systems, and whatever is not known to be local), or that the kernel keeps no more watches.
base::result<std::unique_ptr<directory_watch>> watch_directory(int directory);

} // namespace os
