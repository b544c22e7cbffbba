#include "base/translation.hpp"

#include <libintl.h>

namespace base {

std::string tr(std::string_view text) {
    if (text.empty()) // means something else to gettext
        return {};
    const std::string id(text);
    return ::dgettext("emailrelay", id.c_str());
}

} // namespace base
