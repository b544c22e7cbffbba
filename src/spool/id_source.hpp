// Names for new messages; thread-safe.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>

namespace spool {

class id_source {
public:
    explicit id_source(std::uint64_t pid) : pid_(pid) {}
    std::string next(); // "emailrelay.<pid>.<time>.<sequence>"

private:
    std::uint64_t pid_;
    std::atomic<std::uint64_t> sequence_{0};
};

} // namespace spool
