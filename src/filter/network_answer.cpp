#include "filter/network_answer.hpp"

#include "base/text.hpp"

#include <optional>

namespace filter {

namespace {

// A number of three digits in front, with a blank, a tab or the end behind it.
std::optional<int> code_of(std::string_view line) {
    auto number = base::to_number(line.substr(0, 3));
    bool divided = line.size() == 3 || (line.size() > 3 && (line[3] == ' ' || line[3] == '\t'));
    return line.size() >= 3 && divided && number ? std::optional(static_cast<int>(*number)) : std::nullopt;
}

} // namespace

result read_network_answer(std::string_view line) {
    if (line.empty() || line.starts_with("ok"))
        return result::ok();
    auto code = code_of(line);
    if (code == 100)
        return result::abandon();
    std::size_t tab = line.find('\t');
    std::string_view response = line.substr(0, tab);
    std::string_view reason = tab == line.npos ? line : line.substr(tab + 1);
    bool has_code = code && *code >= 400 && *code <= 599;
    if (has_code)
        response = base::trim(response.substr(3));
    return result::fail(std::string(response), std::string(reason), has_code ? *code : 0);
}

} // namespace filter
