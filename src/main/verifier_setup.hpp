// From the address verifier that is configured to the one that runs.
#pragma once

#include "base/result.hpp"
#include "config/specifications.hpp"
#include "verify/verifier.hpp"

base::result<verify::maker> verifier_of(const config::verifier_specification& given);
