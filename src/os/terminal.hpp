// A line that a person types, or a program pipes in, and that nobody shall see.
#pragma once

#include "base/secret_text.hpp"

namespace os {

// The first line of the standard input, its end included if there is one. From a terminal it is read without
// echo, after `prompt` on stderr.
base::secret_text read_hidden_line(const char* prompt);

} // namespace os
