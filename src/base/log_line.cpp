#include "base/log_line.hpp"

#include "base/controls.hpp"

#include <algorithm>

namespace base {

namespace {

constexpr std::size_t longest_line = 1000;

std::string_view name_of(severity level) {
    switch (level) {
    case severity::debug:
        return "debug";
    case severity::info:
        return "info";
    case severity::warning:
        return "warning";
    case severity::error:
        return "error";
    }
    return "info";
}

// "192.0.2.1; ", "192.0.2.1;4711: " or "4711: ".
void append_peer(std::string& line, const log_layout& layout, const log_context& context) {
    bool address = layout.address && !context.address.empty();
    bool port = layout.port && !context.port.empty();
    if (address)
        line.append(context.address).append(";");
    if (port)
        line.append(context.port).append(":");
    if (address || port)
        line += ' ';
}

// Whoever logs text from elsewhere makes it printable first; what slips through, a file's name for one, makes
// no lines all the same and acts on no terminal.
void hide_controls(std::string& line) {
    for (std::size_t i = 0; i < line.size(); ++i) {
        const auto octet = static_cast<unsigned char>(line[i]);
        if (octet == '\n')
            line[i] = ' ';
        else if (octet < 0x20 || octet == 0x7f)
            line[i] = '.';
        else if (const std::size_t wide = wide_control(std::string_view(line).substr(i)); wide != 0)
            line.replace(i, wide, 1, '.');
    }
}

std::string_view short_id(std::string_view id) {
    constexpr std::string_view prefix = "emailrelay.";
    return id.starts_with(prefix) ? id.substr(prefix.size()) : id;
}

} // namespace

std::string format_log_line(const log_layout& layout, std::string_view timestamp, severity level,
                            const log_context& context, std::string_view text) {
    std::string line;
    line.reserve(layout.program.size() + timestamp.size() + std::min(text.size(), longest_line) + 80);
    line.append(layout.program).append(": ");
    if (layout.time)
        line.append(timestamp).append(": ");
    line.append(name_of(level)).append(": ");
    if ((layout.unit || context.always_unit) && !context.unit.empty())
        line.append("[").append(context.unit).append("] ");
    append_peer(line, layout, context);
    if (layout.message_id && !context.message_id.empty())
        line.append("(").append(short_id(context.message_id)).append(") ");
    line.append(text);
    if (line.size() > longest_line) {
        line.resize(longest_line);
        line.append(" ...");
    }
    hide_controls(line);
    return line;
}

} // namespace base
