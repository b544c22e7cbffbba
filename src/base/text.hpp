// Small pieces of text work that several folders share. ASCII only: bytes above 0x7f pass through untouched.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace base {

std::string to_lower(std::string_view text);
bool iequals(std::string_view a, std::string_view b) noexcept;

// GET, POST, ...: a browser or a program made to send its requests to a port of ours.
bool is_http_method(std::string_view word) noexcept;

// Without the blanks and tabs (and CR, LF) at both ends; the view points into `text`.
std::string_view trim(std::string_view text) noexcept;

// Fields between separators, empty ones included; "" gives one empty field.
std::vector<std::string> split(std::string_view text, char separator);

// Decimal digits only, the whole text, no sign; nothing when it does not fit or is empty.
std::optional<std::uint64_t> to_number(std::string_view text) noexcept;

// Text from a peer, made safe for one line of log or reply: \n \r \t \0, \xHH for other control characters
// (DEL too), backslash doubled, bytes >= 0x80 unchanged (spec/process-and-logging.md section 3).
std::string printable(std::string_view text);

// The same, but bytes >= 0x80 become \xHH as well (spec/spool.md section 5).
std::string printable_ascii(std::string_view text);

// Valid UTF-8, without overlong forms and surrogates.
bool is_utf8(std::string_view text) noexcept;
bool is_ascii(std::string_view text) noexcept;

// xtext (RFC 3461 section 4): '!'..'~' except '+' and '=' stand for themselves, the rest is +HH.
std::string xtext_encode(std::string_view text);
// Empty when `text` is not xtext. With `lenient`, decoding goes the reference's way: a bad escape gives a NUL
// and text behind a lone '+' at the end is dropped (spec/spool.md section 4).
std::optional<std::string> xtext_decode(std::string_view text);
std::string xtext_decode_leniently(std::string_view text);

} // namespace base
