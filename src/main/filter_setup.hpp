// From the filters that are configured to those that run.
#pragma once

#include "base/result.hpp"
#include "config/configuration.hpp"
#include "relay/filter_settings.hpp"

#include <vector>

base::result<relay::filter_settings>
filter_settings_of(const std::vector<config::filter_specification>& chain, const config::instance& one);
