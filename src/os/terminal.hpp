// A line that a person types, or a program pipes in, and that nobody shall see.
#pragma once

#include "base/secret_text.hpp"

namespace os {

// The first line of the standard input, its end included if there is one. From a terminal it is read without
// echo, after `prompt` on stderr; signals that end or stop the process meanwhile (INT, TERM, QUIT, HUP, TSTP)
// do so with the echo restored, and after a stop it is asked for again.
base::secret_text read_hidden_line(const char* prompt);

} // namespace os
