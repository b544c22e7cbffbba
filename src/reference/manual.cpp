// Options in mdoc(7). One sentence a line, as the format wants it.
#include "reference/pages.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

namespace reference {

std::vector<const config::option*> shown(std::span<const config::option> rows) {
    std::vector<const config::option*> found;
    for (const config::option& row : rows)
        if (!row.hidden && (!row.only_on || *row.only_on == config::platform::posix))
            found.push_back(&row);
    return found;
}

namespace {

// Text that means itself in roff.
std::string escaped(std::string_view text) {
    std::string out;
    for (char c : text) {
        if (c == '\\')
            out += "\\e";
        else if (c == '-')
            out += "\\-";
        else if (c == '"')
            out += "\\(dq";
        else
            out += c;
    }
    return out.starts_with('.') || out.starts_with('\'') ? "\\&" + out : out;
}

// "<host:port>" is written host:port, underlined.
std::string_view without_brackets(std::string_view placeholder) {
    if (placeholder.starts_with('<') && placeholder.ends_with('>'))
        return placeholder.substr(1, placeholder.size() - 2);
    return placeholder;
}

// On lines of at most 80 characters.
std::string wrapped(std::string_view text) {
    std::string out;
    std::size_t column = 0;
    while (!text.empty()) {
        const std::size_t end = std::min(text.find(' '), text.size());
        const bool fits = column + 1 + end <= 80;
        if (column != 0)
            out += fits ? ' ' : '\n';
        out += text.substr(0, end);
        column = (column != 0 && fits ? column + 1 : 0) + end;
        text.remove_prefix(std::min(end + 1, text.size()));
    }
    return out + '\n';
}

std::string sentence(std::string_view text) {
    std::string out(text);
    if (!out.empty() && out.front() >= 'a' && out.front() <= 'z')
        out.front() = static_cast<char>(out.front() - 'a' + 'A');
    return wrapped(escaped(out) + ".");
}

std::string argument(const config::option& row) {
    const std::string placeholder = escaped(without_brackets(row.placeholder));
    switch (row.takes) {
    case config::value_kind::none:
        return {};
    case config::value_kind::one:
    case config::value_kind::list:
        return fmt::format(" Ns = Ns Ar {}", placeholder);
    case config::value_kind::may_follow:
        return fmt::format(" Ns Oo Ns = Ns Ar {} Oc", placeholder);
    }
    return {};
}

std::string body(const config::option& row) {
    std::string out = sentence(row.text);
    if (row.takes == config::value_kind::list)
        out += "May be given several times.\n";
    if (!row.normally.empty())
        out += wrapped(fmt::format("The default is {}.", escaped(row.normally)));
    if (!row.equivalent_to.empty())
        out += wrapped(fmt::format("Equivalent to {}.", escaped(row.equivalent_to)));
    if (!row.needs.empty())
        out += wrapped(fmt::format("Requires {}.", escaped(row.needs)));
    return out;
}

// Calls `item(row)` for each row, in a tagged list for each section.
template <class Item>
std::string lists(std::span<const config::option> rows, Item item) {
    const std::vector<const config::option*> all = shown(rows);
    const bool sections = !all.empty() && all.front()->in != all.back()->in;
    std::string out;
    const config::option* previous = nullptr;
    for (const config::option* row : all) {
        if (!previous || (sections && previous->in != row->in)) {
            if (previous)
                out += ".El\n";
            if (sections)
                out += fmt::format(".Ss {}\n", config::title(row->in));
            out += ".Bl -tag -width Ds\n";
        }
        out += item(*row);
        previous = row;
    }
    return out + ".El\n";
}

} // namespace

std::string manual_options(std::span<const config::option> rows) {
    return lists(rows, [](const config::option& row) {
        const std::string letter = row.letter != 0 ? fmt::format("Fl {} , ", row.letter) : std::string();
        return fmt::format(".It {}Fl \\-{}{}\n{}", letter, escaped(row.name), argument(row), body(row));
    });
}

std::string manual_file_options(std::span<const config::option> rows) {
    return lists(rows, [](const config::option& row) {
        const std::string placeholder = escaped(without_brackets(row.placeholder));
        const std::string value = placeholder.empty() ? ""
                                  : row.takes == config::value_kind::may_follow
                                      ? fmt::format(" Op Ar {}", placeholder)
                                      : fmt::format(" Ar {}", placeholder);
        return fmt::format(".It Cm {}{}\n{}", escaped(row.name), value, sentence(row.text));
    });
}

} // namespace reference
