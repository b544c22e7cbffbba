// Names of the files in a spool directory (spec/spool.md sections 1 to 3): pure text.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace spool {

inline constexpr std::string_view content_suffix = ".content";
inline constexpr std::string_view envelope_suffix = ".envelope";
inline constexpr std::string_view new_suffix = ".envelope.new";
inline constexpr std::string_view busy_suffix = ".envelope.busy";
inline constexpr std::string_view bad_suffix = ".envelope.bad";
inline constexpr std::string_view held_suffix = ".envelope.held"; // not forwarded, on request
inline constexpr std::string_view rewrite_suffix = ".envelope.busy.tmp";

inline constexpr std::uint64_t max_envelope_size = 64 << 20; // larger ones are not read

// Hidden names of our own: what a recovery writes before it is renamed, and the segments of journals.
inline constexpr std::string_view restore_prefix = ".emailrelay-restore.";
inline constexpr std::string_view journal_prefix = ".emailrelay-journal.";

// "emailrelay.<pid>.<time>.<sequence>", decimal without padding.
struct message_name {
    std::uint64_t pid = 0;
    std::uint64_t time = 0;
    std::uint64_t sequence = 0;
};

std::string format_name(const message_name& name);
std::optional<message_name> parse_name(std::string_view id);

// File of a message.
std::string name_of(std::string_view id, std::string_view suffix);

// The id when `name` is a file of that kind, else empty.
std::string_view id_of(std::string_view name, std::string_view suffix);

// Whether it can be the beginning of a name in the directory and nothing else: no way out of it, nothing
// hidden.
bool is_name(std::string_view id);

bool is_older(const message_name& a, const message_name& b); // by time, then sequence

// Oldest first; foreign names last, in byte order.
bool goes_before(const std::string& a, const std::string& b);

} // namespace spool
