#include "spool/names.hpp"

#include "base/text.hpp"

#include <fmt/format.h>

#include <array>
#include <tuple>

namespace spool {

namespace {

std::optional<std::uint64_t> unpadded_number(std::string_view text) {
    if (text.size() > 1 && text.front() == '0')
        return std::nullopt;
    return base::to_number(text);
}

} // namespace

std::string format_name(const message_name& name) {
    return fmt::format("emailrelay.{}.{}.{}", name.pid, name.time, name.sequence);
}

std::optional<message_name> parse_name(std::string_view id) {
    constexpr std::string_view prefix = "emailrelay.";
    if (!id.starts_with(prefix))
        return std::nullopt;
    id.remove_prefix(prefix.size());
    std::array<std::uint64_t, 3> numbers{};
    for (std::size_t i = 0; i < numbers.size(); ++i) {
        std::size_t end = i + 1 < numbers.size() ? id.find('.') : id.size();
        if (end == std::string_view::npos)
            return std::nullopt;
        auto number = unpadded_number(id.substr(0, end));
        if (!number)
            return std::nullopt;
        numbers[i] = *number;
        id.remove_prefix(std::min(id.size(), end + 1));
    }
    return message_name{numbers[0], numbers[1], numbers[2]};
}

std::string name_of(std::string_view id, std::string_view suffix) {
    std::string name;
    name.reserve(id.size() + suffix.size());
    return name.append(id).append(suffix);
}

std::string_view id_of(std::string_view name, std::string_view suffix) {
    if (name.size() <= suffix.size() || !name.ends_with(suffix))
        return {};
    return name.substr(0, name.size() - suffix.size());
}

bool is_name(std::string_view id) {
    constexpr std::size_t longest = 240; // with a suffix it still fits into 255
    return !id.empty() && id.size() <= longest && id.front() != '.' &&
           id.find('/') == std::string_view::npos && id.find('\0') == std::string_view::npos;
}

bool is_older(const message_name& a, const message_name& b) {
    return std::tie(a.time, a.sequence, a.pid) < std::tie(b.time, b.sequence, b.pid);
}

bool goes_before(const std::string& a, const std::string& b) {
    auto first = parse_name(a), second = parse_name(b);
    if (first && second)
        return is_older(*first, *second);
    if (first || second)
        return first.has_value();
    return a < b;
}

} // namespace spool
