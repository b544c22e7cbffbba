// From the configuration to what the process keeps (os/sandbox.hpp).
#pragma once

#include "base/log.hpp"
#include "config/configuration.hpp"

// Before there are threads, and when the other processes are there.
void restrict_files(const config::configuration& all, const base::logger& log);

// When everything is open, and no peer has been heard.
void restrict_calls(const config::configuration& all, const base::logger& log);
