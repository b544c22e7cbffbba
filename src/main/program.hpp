// The process from a checked configuration to its end (spec/process-and-logging.md sections 1, 5 and 7).
#pragma once

#include "config/configuration.hpp"

// Returns the exit code; does not return when a signal ends the process.
int run_program(const config::configuration& configuration);
