// Texts for people in their own language: message catalogues of GNU gettext (spec/process-and-logging.md
// section 8).
//
// Only what the person at the command line reads goes through here: usage, errors and warnings of the
// configuration. Never anything of a protocol, or lines of the log that users match on. Until
// os::use_translations() has been called, once and at the very start, everything is as written in the code.
#pragma once

#include <fmt/format.h>

#include <string>
#include <string_view>
#include <utility>

namespace base {

// The translation of `text`, or `text` itself if there is none.
std::string tr(std::string_view text);

// The same for a text with places to be filled in. A translation has the same places: a test sees to that.
template <class... Arguments>
std::string tr_format(std::string_view text, const Arguments&... arguments) {
    return fmt::vformat(tr(text), fmt::make_format_args(arguments...));
}

// For a text that is translated where it is used: names it to the tools that collect texts.
constexpr const char* translatable(const char* text) {
    return text;
}

} // namespace base
