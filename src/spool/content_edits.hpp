// Names behind that of a content file: what filters write, each under its own, to take the content's place.
// What a process that was killed has left is removed by recovery, which has to know all of them.
#pragma once

#include <array>
#include <string_view>

namespace spool::content_edits {

inline constexpr std::string_view message_id = ".tmp";
inline constexpr std::string_view spamd = ".spamd";
inline constexpr std::string_view milter = ".milter";
inline constexpr std::string_view milter_body = ".body"; // before it becomes part of that

inline constexpr std::array all{message_id, spamd, milter, milter_body};

} // namespace spool::content_edits
