// From the filters that are configured to those that run.
#pragma once

#include "base/log.hpp"
#include "config/configuration.hpp"
#include "net/connector.hpp"
#include "os/program_starter.hpp"
#include "relay/filter_settings.hpp"

#include <cstddef>
#include <string>
#include <vector>

// `starter` outlives what is made. `log`: for parameters that cannot be used.
relay::filter_settings filter_settings_of(const std::vector<config::filter_specification>& chain,
                                          const config::instance& one, const os::program_starter& starter,
                                          const base::logger& log);

// Descriptors that one session's filters, or its verifier, may hold at a time.
std::size_t descriptors_of(const std::vector<config::filter_specification>& chain);
std::size_t descriptors_of(const config::verifier_specification& one);

// A server that helps, from a checked configuration.
net::target target_of(const std::string& address);
