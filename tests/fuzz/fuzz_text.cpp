// The small pieces of text that everything from outside goes through: escaping, xtext, base64, addresses,
// domain names, the Received line, a line of the log.
//
// Oracles: what is escaped is one line of printable characters; what is encoded can be decoded to what it
// was; what was decoded, encoded and decoded again is the same.
#include "support.hpp"

#include "base/base64.hpp"
#include "base/ip_address.hpp"
#include "base/log_line.hpp"
#include "base/text.hpp"
#include "mail/idn.hpp"
#include "mail/received.hpp"

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>

namespace {

bool is_printable(std::string_view text) {
    return std::ranges::all_of(text,
                               [](char c) { return static_cast<unsigned char>(c) >= 0x20 && c != 0x7f; });
}

// Nor control characters that UTF-8 has beyond ASCII: U+0080 to U+009F, the ends of lines and paragraphs.
bool is_harmless(std::string_view text) {
    for (std::size_t i = 0; i < text.size(); ++i) {
        const std::string_view rest = text.substr(i);
        const bool c1 = rest.size() > 1 && rest[0] == '\xc2' && rest[1] >= '\x80' && rest[1] <= '\x9f';
        if (c1 || rest.starts_with("\xe2\x80\xa8") || rest.starts_with("\xe2\x80\xa9"))
            return false;
    }
    return is_printable(text);
}

void check_escaping(std::string_view text) {
    const std::string shown = base::printable(text), ascii = base::printable_ascii(text);
    require(is_harmless(shown) && is_harmless(ascii) && base::is_ascii(ascii), "not printable");
    require(shown.size() <= 4 * text.size() && ascii.size() <= 4 * text.size(), "grows");
    if (is_harmless(text) && text.find('\\') == std::string_view::npos)
        require(shown == text, "changed without need");
}

void check_xtext(std::string_view text) {
    const std::string encoded = base::xtext_encode(text);
    require(base::xtext_decode(encoded) == std::string(text), "xtext");
    require(base::xtext_decode_leniently(encoded) == text, "xtext, leniently");
    if (const auto decoded = base::xtext_decode(text)) {
        require(*decoded == base::xtext_decode_leniently(text), "two ways of decoding");
        require(base::xtext_decode(base::xtext_encode(*decoded)) == decoded, "normalised xtext");
    }
}

void check_base64(std::string_view text) {
    const std::string encoded = base::base64_encode(text);
    require(base::base64_decode(encoded) == std::string(text), "base64");
    if (const auto decoded = base::base64_decode(text))
        require(base::base64_decode(base::base64_encode(*decoded)) == decoded, "base64 again");
}

void check_names(std::string_view text) {
    if (const auto labels = mail::to_a_labels(text)) {
        require(base::is_utf8(text), "labels of what is not UTF-8");
        require(base::is_ascii(*labels), "not A-labels");
        require(mail::to_a_labels(*labels) == labels, "not stable");
    }
    if (const auto address = base::parse_ip_address(text)) {
        require(base::same_network(*address, *address, address->bits()), "not itself");
        require(base::is_network(*address, address->bits()), "not a network of one");
    }
}

void check_lines(std::string_view text) {
    const mail::trace t{.helo = text, .address = "192.0.2.1", .domain = "d", .tls = true, .tls_cipher = text};
    const std::string line = mail::received_line(t, {});
    require(line.ends_with("\r\n") && is_printable(std::string_view(line).substr(0, line.size() - 2)),
            "the Received line is not one line");
    const base::log_layout layout{
        .time = true, .unit = true, .address = true, .port = true, .message_id = true};
    const base::log_context context{
        .unit = "u", .address = "a", .port = "1", .message_id = "emailrelay.1.2.3"};
    const std::string logged =
        base::format_log_line(layout, "now", base::severity::info, context, base::printable(text));
    require(is_harmless(logged) && logged.size() <= 1004, "the log's line is not one line");
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string text(data, data + size);
    check_escaping(text);
    check_xtext(text);
    check_base64(text);
    check_names(text);
    check_lines(text);
    return 0;
}
