// A secrets file on the disk: read at start, read again when it changes (spec/authentication.md section 2.3).
//
// One object serves the SMTP server, the POP server and the client of a relay when they name the same file. A
// session keeps the snapshot that it began with.
#pragma once

#include "base/log.hpp"
#include "base/result.hpp"
#include "os/process.hpp"
#include "relay/blocking.hpp"
#include "sasl/secrets.hpp"

#include <chrono>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

namespace relay {

class secrets_file {
public:
    using snapshot = std::shared_ptr<const sasl::secrets>;

    // `used_by` is "server", "client" or nothing, for the log. `work` outlives it.
    secrets_file(std::string path, std::string used_by, blocking& work, base::logger log);
    secrets_file(const secrets_file&) = delete;
    secrets_file& operator=(const secrets_file&) = delete;

    // The first time, at start; blocks. Every problem is logged, and any error is the end: "cannot read
    // secrets file: F", "invalid secrets file", "invalid authorisation secret: line N: ...".
    base::result<void> load();

    // What is in the file, as of at most a second ago. An error while the file is missing or unusable. Any
    // network thread.
    net::awaitable<base::result<snapshot>> current();

private:
    struct reading {
        std::optional<os::file_version> version;
        base::result<snapshot> outcome;
        bool errors = false;
    };
    reading read() const;

    const std::string path_;
    const std::string used_by_;
    blocking& work_;
    const base::logger log_;

    std::mutex mutex_; // what follows
    std::chrono::steady_clock::time_point looked_{};
    bool looking_ = false;
    std::optional<os::file_version> version_;
    base::result<snapshot> outcome_ = snapshot();
};

} // namespace relay
