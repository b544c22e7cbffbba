// The catalogues that base::tr() looks into.
#pragma once

#include <string>

namespace os {

// From here on texts are in the language that LANGUAGE, LC_ALL, LC_MESSAGES or LANG asks for, as far as there
// is a catalogue <directory>/<language>/LC_MESSAGES/emailrelay.mo, encoded in UTF-8. Before there are
// threads.
void use_translations(const std::string& directory);

} // namespace os
