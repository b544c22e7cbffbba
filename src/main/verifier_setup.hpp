// From the address verifier that is configured to the one that runs.
#pragma once

#include "config/specifications.hpp"
#include "verify/verifier.hpp"

verify::maker verifier_of(const config::verifier_specification& given);
