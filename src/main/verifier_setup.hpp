// From the address verifier that is configured to the one that runs.
#pragma once

#include "config/specifications.hpp"
#include "os/program_starter.hpp"
#include "verify/verifier.hpp"

// `starter` outlives what is made.
verify::maker verifier_of(const config::verifier_specification& given, const os::program_starter& starter);
