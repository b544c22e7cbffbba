// The processes beside the relay (docs/flow.md): from the configuration to those that are needed.
#pragma once

#include "base/result.hpp"
#include "config/configuration.hpp"
#include "os/program_starter.hpp"

struct helper_processes {
    os::program_starter programs; // filters and verifiers
    os::program_starter pam;

    // Before there are threads, before the sandbox, and when the ids are those to work with.
    base::result<void> begin(const config::configuration& all);

    // When nobody uses them any more.
    void end() noexcept;
};
