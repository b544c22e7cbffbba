#include "base/text.hpp"

#include "base/controls.hpp"

#include <algorithm>
#include <array>
#include <charconv>

namespace base {

namespace {

char lower(char c) noexcept {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

bool is_blank(char c) noexcept {
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

std::string escape(std::string_view text, bool ascii_only) {
    static constexpr char hex[] = "0123456789abcdef";
    std::string out;
    out.reserve(text.size());
    std::size_t hidden_up_to = 0;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const char c = text[i];
        const auto byte = static_cast<unsigned char>(c);
        if (byte >= 0xc2 && !ascii_only)
            hidden_up_to = std::max(hidden_up_to, i + wide_control(text.substr(i)));
        switch (c) {
        case '\n':
            out += "\\n";
            break;
        case '\r':
            out += "\\r";
            break;
        case '\t':
            out += "\\t";
            break;
        case '\0':
            out += "\\0";
            break;
        case '\\':
            out += "\\\\";
            break;
        default:
            if (byte < 0x20 || byte == 0x7f || (ascii_only && byte >= 0x80) || i < hidden_up_to) {
                out += "\\x";
                out += hex[byte >> 4];
                out += hex[byte & 15];
            } else {
                out += c;
            }
        }
    }
    return out;
}

int hex_digit(char c) noexcept {
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return -1;
}

bool stands_for_itself(char c) noexcept {
    return c >= '!' && c <= '~' && c != '+' && c != '=';
}

} // namespace

std::string to_lower(std::string_view text) {
    std::string out(text);
    std::transform(out.begin(), out.end(), out.begin(), lower);
    return out;
}

bool iequals(std::string_view a, std::string_view b) noexcept {
    return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                      [](char x, char y) { return lower(x) == lower(y); });
}

bool is_http_method(std::string_view word) noexcept {
    static constexpr std::array<std::string_view, 9> methods{"GET",     "POST",   "PUT",   "HEAD", "OPTIONS",
                                                             "CONNECT", "DELETE", "PATCH", "TRACE"};
    return std::find(methods.begin(), methods.end(), word) != methods.end();
}

std::string_view trim(std::string_view text) noexcept {
    while (!text.empty() && is_blank(text.front()))
        text.remove_prefix(1);
    while (!text.empty() && is_blank(text.back()))
        text.remove_suffix(1);
    return text;
}

std::vector<std::string> split(std::string_view text, char separator) {
    std::vector<std::string> fields;
    for (;;) {
        std::size_t at = text.find(separator);
        fields.emplace_back(text.substr(0, at));
        if (at == std::string_view::npos)
            return fields;
        text.remove_prefix(at + 1);
    }
}

std::optional<std::uint64_t> to_number(std::string_view text) noexcept {
    std::uint64_t value = 0;
    auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (text.empty() || failure != std::errc() || end != text.data() + text.size())
        return std::nullopt;
    return value;
}

std::size_t wide_control(std::string_view text) noexcept {
    const auto at = [text](std::size_t i) {
        return static_cast<unsigned char>(text[i]);
    };
    if (text.size() >= 2 && at(0) == 0xc2 && at(1) >= 0x80 && at(1) < 0xa0)
        return 2;
    if (text.size() >= 3 && at(0) == 0xe2 && at(1) == 0x80 && (at(2) == 0xa8 || at(2) == 0xa9))
        return 3;
    return 0;
}

std::string printable(std::string_view text) {
    return escape(text, false);
}

std::string printable_ascii(std::string_view text) {
    return escape(text, true);
}

bool is_ascii(std::string_view text) noexcept {
    return std::all_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}

bool is_utf8(std::string_view text) noexcept {
    for (std::size_t i = 0; i < text.size();) {
        auto lead = static_cast<unsigned char>(text[i]);
        if (lead < 0x80) {
            ++i;
            continue;
        }
        std::size_t more = lead >= 0xf0 ? 3 : lead >= 0xe0 ? 2 : 1;
        if (lead < 0xc2 || lead > 0xf4 || i + more >= text.size())
            return false;
        std::uint32_t point = lead & (0x3fU >> more);
        for (std::size_t k = 1; k <= more; ++k) {
            auto next = static_cast<unsigned char>(text[i + k]);
            if ((next & 0xc0) != 0x80)
                return false;
            point = point << 6 | (next & 0x3fU);
        }
        bool overlong = (more == 2 && point < 0x800) || (more == 3 && point < 0x10000);
        if (overlong || (point >= 0xd800 && point <= 0xdfff) || point > 0x10ffff)
            return false;
        i += more + 1;
    }
    return true;
}

std::string xtext_encode(std::string_view text) {
    static constexpr char hex[] = "0123456789ABCDEF";
    std::string out;
    for (char c : text) {
        if (stands_for_itself(c)) {
            out += c;
        } else {
            auto byte = static_cast<unsigned char>(c);
            out += '+';
            out += hex[byte >> 4];
            out += hex[byte & 15];
        }
    }
    return out;
}

std::optional<std::string> xtext_decode(std::string_view text) {
    std::string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] == '+') {
            if (i + 2 >= text.size() || hex_digit(text[i + 1]) < 0 || hex_digit(text[i + 2]) < 0)
                return std::nullopt;
            out += static_cast<char>(hex_digit(text[i + 1]) << 4 | hex_digit(text[i + 2]));
            i += 2;
        } else if (text[i] >= '!' && text[i] <= '~') {
            out += text[i]; // '=' too: it is tolerated where others demand +3D
        } else {
            return std::nullopt;
        }
    }
    return out;
}

std::string xtext_decode_leniently(std::string_view text) {
    std::string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] != '+') {
            out += text[i];
        } else if (i + 2 < text.size()) {
            int high = hex_digit(text[i + 1]);
            int low = hex_digit(text[i + 2]);
            out += static_cast<char>(high < 0 || low < 0 ? 0 : high << 4 | low);
            i += 2;
        } else {
            break;
        }
    }
    return out;
}

} // namespace base
