#include "filter/exit_code.hpp"

#include "base/text.hpp"

#include <algorithm>
#include <optional>
#include <vector>

namespace filter {

result result_of_exit(kind what, unsigned code) {
    using enum result::outcome;
    const bool server = what == kind::server;
    result found;
    switch (code) {
    case 0:
    case 101:
        break;
    case 100:
        found.what = abandon;
        break;
    case 102:
        found.what = server ? abandon : ok;
        found.special = true;
        break;
    case 103:
        found.special = server;
        break;
    case 104:
        found.what = server ? fail : abandon;
        found.special = true;
        break;
    case 105:
        found.what = fail;
        found.special = !server;
        break;
    default:
        found.what = fail;
    }
    return found;
}

namespace {

constexpr std::size_t examined = 1024;

bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

// CR-LF and CR are as good as LF.
std::vector<std::string> lines_of(std::string_view text) {
    std::string plain;
    plain.reserve(text.size());
    for (std::size_t i = 0; i < text.size(); ++i) {
        bool before_lf = text[i] == '\r' && i + 1 < text.size() && text[i + 1] == '\n';
        if (!before_lf)
            plain += text[i] == '\r' ? '\n' : text[i];
    }
    return base::split(plain, '\n');
}

// The text between the marks of a line that begins with one.
std::optional<std::string> marked(std::string_view line) {
    for (auto [open, close] : {std::pair("<<", ">>"), std::pair("[[", "]]")}) {
        if (!line.starts_with(open))
            continue;
        std::size_t end = line.find(close, 2);
        if (end != line.npos)
            return std::string(line.substr(2, end - 2));
    }
    return std::nullopt;
}

// "450 text", "450\ttext" or "450"; the number goes from the text.
int take_code(std::string& response) {
    if (response.size() < 3 || !std::all_of(response.begin(), response.begin() + 3, is_digit))
        return 0;
    if (response.size() > 3 && response[3] != ' ' && response[3] != '\t')
        return 0;
    int code = (response[0] - '0') * 100 + (response[1] - '0') * 10 + (response[2] - '0');
    if (code < 400 || code > 599)
        return 0;
    response.erase(0, response.size() > 3 ? 4 : 3);
    return code;
}

} // namespace

told read_output(std::string_view printed) {
    told found;
    std::vector<std::string> texts;
    for (const std::string& line : lines_of(printed.substr(0, examined)))
        if (auto text = marked(line); text && texts.size() < 2)
            texts.push_back(std::move(*text));
    if (!texts.empty())
        found.response = std::move(texts[0]);
    found.code = take_code(found.response);
    if (found.response.empty() && found.code == 0)
        found.response = "rejected";
    found.reason = texts.size() > 1 ? std::move(texts[1]) : found.response;
    return found;
}

} // namespace filter
