// docs/reference.md, and the texts for translators.
#include "reference/pages.hpp"

#include <fmt/format.h>

namespace reference {

namespace {

std::string escaped(std::string_view text) {
    std::string out;
    for (char c : text) {
        if (c == '<')
            out += "&lt;";
        else if (c == '|' || c == '*' || c == '_')
            out += std::string("\\") + c;
        else
            out += c;
    }
    return out;
}

std::string remarks(const config::option& row) {
    std::string out;
    if (!row.normally.empty())
        out += fmt::format(" Default: {}.", escaped(row.normally));
    if (!row.equivalent_to.empty())
        out += fmt::format(" Equivalent to `{}`.", row.equivalent_to);
    if (!row.needs.empty())
        out += fmt::format(" Requires {}.", escaped(row.needs));
    if (row.takes == config::value_kind::list)
        out += " May be given several times.";
    if (row.belongs_to == config::scope::whole_process)
        out += " For the whole process.";
    return out;
}

} // namespace

std::string markdown(std::span<const config::option> rows) {
    std::string out =
        "<!-- Made by `make reference` from src/config/option_table.hpp: change that. -->\n\n"
        "# Options\n\n"
        "Options can be given on the command line or, without the dashes, in a file ([emailrelay.conf(5)]"
        "(../man/emailrelay.conf.5.in)). An option\n"
        "\"for the whole process\" is taken from the first relay instance where there are several.\n";
    const config::option* previous = nullptr;
    for (const config::option* row : shown(rows)) {
        if (!previous || previous->in != row->in)
            out += fmt::format("\n## {}\n\n| option | meaning |\n|---|---|\n", config::title(row->in));
        const std::string letter = row->letter != 0 ? fmt::format("`-{}` ", row->letter) : std::string();
        out += fmt::format("| {}`{}` | {}.{} |\n", letter, config::shape(*row), escaped(row->text),
                           remarks(*row));
        previous = row;
    }
    return out;
}

std::string texts(std::span<const config::option> rows) {
    std::string out;
    const auto put = [&](std::string_view text) {
        std::string literal;
        for (char c : text)
            literal += c == '"' || c == '\\' ? std::string("\\") + c : std::string(1, c);
        if (!text.empty())
            out += fmt::format("tr(\"{}\");\n", literal);
    };
    for (const config::option* row : shown(rows)) {
        put(config::title(row->in));
        put(row->text);
        // Numbers and names are the same everywhere.
        if (row->normally.find(' ') != row->normally.npos)
            put(row->normally);
    }
    return out;
}

} // namespace reference
