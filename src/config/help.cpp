#include "config/help.hpp"

#include "base/translation.hpp"

#include "config/option_table.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>
#include <vector>

namespace config {

namespace {

constexpr std::string_view copyright = "Copyright (c) 2026 the emailrelay authors\n";

std::string headline() {
    return "E-MailRelay V" EMAILRELAY_VERSION "\n";
}

// Of text in UTF-8: what is not the continuation of a character.
std::size_t columns_of(std::string_view text) {
    return static_cast<std::size_t>(
        std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; }));
}

// Puts pieces on lines of at most `width` columns with a blank between them, beginning at column `at`;
// further lines are indented. A piece is never divided.
class line_filler {
public:
    line_filler(std::string& out, std::size_t at, std::size_t indent, std::size_t width)
        : out_(out), at_(at), indent_(indent), width_(width) {}

    void put(std::string_view piece) {
        const std::size_t size = columns_of(piece);
        if (!first_ && at_ + 1 + size > width_) {
            out_ += '\n';
            out_.append(indent_, ' ');
            at_ = indent_;
        } else if (!first_) {
            out_ += ' ';
            ++at_;
        }
        out_ += piece;
        at_ += size;
        first_ = false;
    }

private:
    std::string& out_;
    std::size_t at_;
    std::size_t indent_;
    std::size_t width_;
    bool first_ = true;
};

bool is_shown(const option& row, platform on) {
    return !row.hidden && (!row.only_on || *row.only_on == on);
}

// The rows of the abbreviated help in its own order, or all.
std::vector<const option*> shown_rows(const vocabulary& known, bool complete) {
    std::vector<const option*> rows;
    for (const option& row : known.rows)
        if (is_shown(row, known.on) && (complete || row.brief != 0))
            rows.push_back(&row);
    if (!complete)
        std::sort(rows.begin(), rows.end(), [](auto* a, auto* b) { return a->brief < b->brief; });
    return rows;
}

void put_usage(std::string& out, const std::vector<const option*>& rows, const usage& of, bool complete) {
    const std::string begin = base::tr_format(
        complete ? base::translatable("usage: {}") : base::translatable("abbreviated usage: {}"), of.program);
    line_filler line(out, 0, 2, of.columns);
    line.put(begin);
    const auto is_bundled = [](const option* row) {
        return row->takes == value_kind::none && row->letter != 0;
    };
    std::string letters;
    for (const option* row : rows)
        if (is_bundled(row))
            letters += row->letter;
    if (!letters.empty())
        line.put(fmt::format("[-{}]", letters));
    for (const option* row : rows)
        if (!is_bundled(row))
            line.put(fmt::format("[{}]", shape(*row)));
    for (const std::string_view word : of.words)
        line.put(word);
    out += '\n';
}

void put_option(std::string& out, const option& row, const usage& of, bool complete) {
    const std::size_t column = complete ? 42 : 30;
    std::string left = row.letter != 0 ? fmt::format("  -{}, {}", row.letter, shape(row))
                                       : fmt::format("      {}", shape(row));
    if (left.size() >= column)
        left += '\n' + std::string(column, ' ');
    else
        left.resize(column, ' ');
    out += left;

    line_filler line(out, column, column, of.columns);
    option shown = row;
    if (row.name == "spool-dir")
        shown.normally = of.default_spool_dir;
    const std::string text = description(shown, complete);
    for (std::size_t at = 0; at < text.size();) {
        const std::size_t end = std::min(text.find(' ', at), text.size());
        line.put(std::string_view(text).substr(at, end - at));
        at = end + 1;
    }
    out += '\n';
}

std::string examples(const surroundings& around) {
    return base::tr_format("To keep what comes in the spool, as a service in the background:\n"
                           "  {0} --as-server\n"
                           "To send on all that is in the spool, and then end:\n"
                           "  {0} --as-client=smtp.example.com:25\n"
                           "To stand between mail programs and their server:\n"
                           "  {0} --as-proxy=smtp.example.com:25 --port=587\n",
                           around.program);
}

} // namespace

std::string help_text(const vocabulary& known, const usage& of, bool complete) {
    const std::vector<const option*> rows = shown_rows(known, complete);
    std::string out = headline() + '\n';
    put_usage(out, rows, of, complete);
    const option* previous = nullptr;
    for (const option* row : rows) {
        const bool new_section = !previous || (complete && row->in != previous->in);
        if (new_section)
            out += '\n';
        if (new_section && complete && of.sections)
            out += base::tr(title(row->in)) + "\n";
        put_option(out, *row, of, complete);
        previous = row;
    }
    out += '\n';
    out += complete
               ? of.remarks
               : base::tr_format("For complete usage information run \"{} --help --verbose\"\n", of.program);
    if (!complete || !of.remarks.empty())
        out += '\n';
    out += copyright;
    return out;
}

std::string help_text(bool complete, const surroundings& around) {
    const usage of{.program = around.program,
                   .words = {"[<config-file>]"},
                   .columns = around.columns,
                   .default_spool_dir = around.default_spool_dir,
                   .sections = true,
                   .remarks = examples(around)};
    return help_text(relay_vocabulary(around.on), of, complete);
}

std::string version_text(bool complete, const surroundings& around) {
    const auto state = [](bool enabled) {
        return enabled ? "enabled" : "disabled"; // scripts look for these words
    };
    const auto built = [&](known_option name) {
        return state(name.row().built == availability::now);
    };
    std::string out = headline() + '\n';
    out += copyright;
    out += '\n';
    if (complete)
        out += fmt::format("Multi-threading: enabled\n"
                           "Unix domain sockets: {}\n"
                           "POP server: {}\n"
                           "Admin server: {}\n"
                           "TLS library: {}\n\n",
                           state(around.on == platform::posix), built("pop"), built("admin"),
                           around.tls_library.empty() ? "none" : around.tls_library);
    if (!around.tls_library.empty())
        out += fmt::format("Encryption by {}\n\n", around.tls_library);
    out += "Licensed under the Apache License, version 2.0 (http://www.apache.org/licenses/LICENSE-2.0).\n"
           "It comes as it is: to the extent the law permits, there is no warranty of any kind.\n";
    return out;
}

} // namespace config
