#include "os/translations.hpp"

#include <libintl.h>

#include <clocale>

namespace os {

void use_translations(const std::string& directory) {
    // Nothing but messages: numbers and letters stay as they are everywhere.
    std::setlocale(LC_MESSAGES, "");
    ::bindtextdomain("emailrelay", directory.c_str());
    ::bind_textdomain_codeset("emailrelay", "UTF-8");
}

} // namespace os
