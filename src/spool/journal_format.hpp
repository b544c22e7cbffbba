#pragma once

#include <cstdint>

namespace spool {

enum class record_kind : std::uint32_t {
    put = 1,   // a message: envelope and content
    begin,     // the content file of a message is about to be made; its commit comes later or never
    end,       // closes begin: the message is stored or its file removed
    withdrawn, // closes put: the message was not accepted after all
    claim,     // the envelope is about to be renamed to .busy
    released,  // closes claim: the envelope has left .busy
    done,      // closes claim: the files have been deleted
    settled,   // what the records up to a certain one say is in the directory, flushed
};

} // namespace spool
