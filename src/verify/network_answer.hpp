// The question to a network verifier and its answer (spec/filters-and-verifiers.md section 7): pure.
#pragma once

#include "verify/verifier.hpp"

#include <optional>
#include <string>
#include <string_view>

namespace verify {

// Six fields with '|' between them. Nothing if a field has a '|' or a line end in it: the server would take
// one field for another.
std::optional<std::string> network_question(const request& asked);

// `line` without its line end.
verdict read_network_answer(std::string_view line);

} // namespace verify
