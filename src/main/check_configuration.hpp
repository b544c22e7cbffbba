// --check-config: looks at everything that can be wrong before the relay is started, and says what would run.
#pragma once

#include "config/configuration.hpp"

// Prints warnings and errors, all of them, to stderr, or what would run to stdout. Returns the exit code: 0
// if it would start, 1 if not. No socket is opened and nothing is changed, so that it can be used beside the
// running relay. Sets the process's user.
int check_configuration(const config::configuration& configuration);
