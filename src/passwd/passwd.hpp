// What emailrelay-passwd says for its options and a password: the masked form for a secrets file
// (spec/utilities.md section 2, spec/authentication.md section 6). Pure.
#pragma once

#include "base/secret_text.hpp"
#include "config/configuration.hpp"

#include <functional>
#include <string>
#include <vector>

namespace passwd {

// `read_line` gives the first line of the standard input, as it came; it is asked only when there is no
// password among the words.
config::ending answer(const std::vector<std::string>& words, unsigned columns,
                      const std::function<base::secret_text()>& read_line);

} // namespace passwd
