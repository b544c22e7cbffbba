#include "mail/header_section.hpp"

#include "base/text.hpp"

#include <algorithm>
#include <utility>

namespace mail {

std::string_view field_name(std::string_view line) noexcept {
    const std::size_t colon = line.find(':');
    if (colon == line.npos)
        return {};
    std::string_view name = line.substr(0, colon);
    while (!name.empty() && (name.back() == ' ' || name.back() == '\t'))
        name.remove_suffix(1);
    return is_field_name(name) ? name : std::string_view();
}

bool is_field_name(std::string_view name) noexcept {
    return !name.empty() &&
           std::all_of(name.begin(), name.end(), [](char c) { return c > ' ' && c <= '~' && c != ':'; });
}

std::string_view header_field::name() const noexcept {
    return field_name(std::string_view(text).substr(0, text.find('\n')));
}

std::string_view header_field::body() const noexcept {
    std::string_view rest = text;
    rest.remove_prefix(name().empty() ? 0 : rest.find(':') + 1);
    if (rest.ends_with('\n'))
        rest.remove_suffix(1);
    if (rest.ends_with('\r'))
        rest.remove_suffix(1);
    return rest;
}

bool header_field::is(std::string_view wanted) const noexcept {
    return base::iequals(name(), wanted);
}

header_section::header_section(std::string_view text) {
    for (std::size_t line = 1; !text.empty(); ++line) {
        const std::size_t end = text.find('\n');
        const std::string_view one = text.substr(0, end == text.npos ? end : end + 1);
        text.remove_prefix(one.size());
        if (!fields_.empty() && (one.front() == ' ' || one.front() == '\t'))
            fields_.back().text += one;
        else
            fields_.push_back({.text = std::string(one), .line = line});
    }
}

bool header_section::has(std::string_view name) const noexcept {
    return std::any_of(fields_.begin(), fields_.end(), [&](const header_field& f) { return f.is(name); });
}

std::vector<const header_field*> header_section::all(std::string_view name) const {
    std::vector<const header_field*> found;
    for (const header_field& f : fields_)
        if (f.is(name))
            found.push_back(&f);
    return found;
}

void header_section::remove(std::initializer_list<std::string_view> names) {
    std::erase_if(fields_, [&](const header_field& f) {
        return std::any_of(names.begin(), names.end(), [&](std::string_view name) { return f.is(name); });
    });
}

void header_section::remove(std::size_t at) {
    fields_.erase(fields_.begin() + static_cast<std::ptrdiff_t>(at));
}

void header_section::insert(std::size_t at, std::string field) {
    if (!fields_.empty() && !fields_.back().text.ends_with('\n'))
        fields_.back().text += "\r\n";
    const auto place = static_cast<std::ptrdiff_t>(std::min(at, fields_.size()));
    fields_.insert(fields_.begin() + place, header_field{.text = std::move(field)});
}

void header_section::replace(std::size_t at, std::string field) {
    fields_[at].text = std::move(field);
}

void header_section::replace(std::string_view name, std::string line) {
    const auto first =
        std::find_if(fields_.begin(), fields_.end(), [&](const auto& f) { return f.is(name); });
    if (first == fields_.end())
        return;
    header_field replacement{.text = std::move(line), .line = first->line};
    const auto place = first - fields_.begin();
    std::erase_if(fields_, [&](const header_field& f) { return f.is(name); });
    fields_.insert(fields_.begin() + place, std::move(replacement));
}

std::string header_section::text() const {
    std::string all;
    for (const header_field& f : fields_)
        all += f.text;
    return all;
}

std::string message_header::text() const {
    return section.text() + (separator.empty() ? "\r\n" : separator);
}

message_header read_header(std::string_view message) {
    message_header out;
    std::size_t fields = 0; // octets of them
    while (out.size < message.size()) {
        const std::string_view rest = message.substr(out.size);
        const std::size_t end = rest.find('\n');
        const std::string_view line = rest.substr(0, end == rest.npos ? end : end + 1);
        const bool is_empty = line == "\n" || line == "\r\n";
        const bool continues = fields != 0 && (line.front() == ' ' || line.front() == '\t');
        if (!is_empty && !continues && field_name(line).empty())
            break;
        out.size += line.size();
        if (is_empty) {
            out.separator += line;
            break;
        }
        fields = out.size;
    }
    out.section = header_section(message.substr(0, fields));
    return out;
}

} // namespace mail
