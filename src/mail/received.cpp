#include "mail/received.hpp"

#include "base/text.hpp"
#include "mail/date.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace mail {

namespace {

// One word whatever the peer called itself, so that the line keeps its shape.
std::string one_word(std::string_view helo) {
    std::string word(helo);
    std::replace_if(
        word.begin(), word.end(), [](char c) { return c == ' ' || c == '\t'; }, '-');
    return base::printable_ascii(word);
}

std::string cipher_name(std::string_view name) {
    std::string out;
    for (char c : name) {
        const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        const bool digit = c >= '0' && c <= '9';
        if (c == '-')
            out += '_';
        else if (letter || digit || c == '_')
            out += c;
    }
    return out;
}

} // namespace

std::string received_line(const trace& t, const base::calendar_time& now) {
    std::string line;
    line.reserve(128);
    const std::string name = t.helo.empty() ? fmt::format("[{}]", t.address) : one_word(t.helo);
    line.append("Received: from ").append(name).append(" ([").append(t.address).append("]) by ");
    line.append(t.domain).append(" with ESMTP");
    if (t.tls)
        line += 'S';
    if (t.authenticated)
        line += 'A';
    if (t.tls)
        line.append(" tls ").append(cipher_name(t.tls_cipher));
    line.append(" ; ").append(format_date(now)).append("\r\n");
    return line;
}

} // namespace mail
