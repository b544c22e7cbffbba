#include "filter/header_section.hpp"

#include <algorithm>

namespace filter {

namespace {

// With its LF, if it has one.
std::string_view line_at(std::string_view text) {
    std::size_t end = text.find('\n');
    return text.substr(0, end == text.npos ? end : end + 1);
}

bool is_empty_line(std::string_view line) {
    return line == "\n" || line == "\r\n";
}

bool is_continuation(std::string_view line) {
    return line.starts_with(' ') || line.starts_with('\t');
}

// Blanks may stand before the colon (RFC 5322 section 4.5.8).
std::string_view name_of(std::string_view line) {
    std::size_t colon = line.find(':');
    if (colon == line.npos)
        return {};
    std::string_view name = line.substr(0, colon);
    while (name.ends_with(' ') || name.ends_with('\t'))
        name.remove_suffix(1);
    return is_field_name(name) ? name : std::string_view();
}

std::string written(const header_field& field) {
    std::string out = field.name + ":";
    bool new_line = false;
    for (char c : field.value) {
        if (c == '\r')
            continue;
        if (new_line && c != ' ' && c != '\t' && c != '\n')
            out += '\t';
        if (new_line && c == '\n') // an empty line would end the header
            continue;
        new_line = c == '\n';
        if (new_line)
            out += "\r\n";
        else
            out += c;
    }
    if (!out.ends_with("\r\n"))
        out += "\r\n";
    return out;
}

} // namespace

bool is_field_name(std::string_view name) {
    return !name.empty() &&
           std::all_of(name.begin(), name.end(), [](char c) { return c > ' ' && c <= '~' && c != ':'; });
}

header_section header_section::read(std::string_view message) {
    header_section out;
    while (out.size_ < message.size()) {
        std::string_view line = line_at(message.substr(out.size_));
        if (is_empty_line(line)) {
            out.separator_ = line;
            out.size_ += line.size();
            break;
        }
        if (is_continuation(line) && !out.lines_.empty())
            out.lines_.back() += line;
        else if (!name_of(line).empty())
            out.lines_.emplace_back(line);
        else
            break;
        out.size_ += line.size();
    }
    return out;
}

header_field header_section::field(std::size_t i) const {
    std::string_view line = lines_[i];
    header_field out{std::string(name_of(line)), {}};
    line.remove_prefix(line.find(':') + 1);
    if (line.ends_with('\n'))
        line.remove_suffix(1);
    if (line.ends_with('\r'))
        line.remove_suffix(1);
    for (std::size_t at = 0; at < line.size(); ++at)
        if (line[at] != '\r' || at + 1 == line.size() || line[at + 1] != '\n')
            out.value += line[at];
    return out;
}

void header_section::insert(std::size_t at, const header_field& field) {
    if (!lines_.empty() && !lines_.back().ends_with('\n'))
        lines_.back() += "\r\n";
    lines_.insert(lines_.begin() + static_cast<std::ptrdiff_t>(std::min(at, lines_.size())), written(field));
}

void header_section::replace(std::size_t at, const header_field& field) {
    lines_[at] = written(field);
}

void header_section::remove(std::size_t at) {
    lines_.erase(lines_.begin() + static_cast<std::ptrdiff_t>(at));
}

std::string header_section::text() const {
    std::string out;
    for (const std::string& line : lines_)
        out += line;
    return out + (separator_.empty() ? "\r\n" : separator_);
}

} // namespace filter
