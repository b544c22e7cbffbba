// emailrelay-filter-copy: the envelope of a message into every sub-directory of its spool, for POP by name
// (spec/utilities.md section 4). A filter of older configurations; the relay's own is "copy:pop".
//
// As a filter it ends with 100 when the message is all in the sub-directories and the original envelope is
// gone, with 0 when some copies could not be made and the original stays.
#include "os/filesystem.hpp"
#include "os/process.hpp"
#include "spool/envelope_copies.hpp"
#include "spool/folder.hpp"
#include "spool/names.hpp"

#include "config/tool_options.hpp"

#include <fmt/format.h>

#include <cstdio>
#include <exception>
#include <optional>
#include <string>
#include <vector>

namespace {

using config::value_kind;

constexpr std::string_view program = "emailrelay-filter-copy";
constexpr int message_abandoned = 100; // what a filter says of a message that is no longer there

constexpr config::option table[] = {
    {.name = "help", .letter = 'h', .text = "show this and end"},
    {.name = "version", .letter = 'V', .text = "show the version and end"},
    {.name = "verbose", .letter = 'v', .text = "say what is copied; with --help show all"},
    {.name = "spool-dir",
     .letter = 'd',
     .takes = value_kind::one,
     .placeholder = "<dir>",
     .text = "copy every envelope of this spool directory",
     .normally = "the directory of the content file"},
};

void say(const std::string& text) {
    std::fputs((text + '\n').c_str(), stdout);
}

// In the form that the relay takes reasons from a filter.
int fail(const std::string& reason) {
    say("<<filter failed>>");
    say(fmt::format("<<{}>>", reason));
    return 1;
}

// The envelope of a message that is being received is still ".envelope.new".
std::string envelope_name(const spool::folder& dir, const std::string& id) {
    std::string name = spool::name_of(id, spool::new_suffix);
    return dir.exists(name) ? name : spool::name_of(id, spool::envelope_suffix);
}

enum class copied { to_all, to_some };

base::result<copied> copy_message(spool::folder& dir, const std::string& id, bool verbose) {
    const std::string name = envelope_name(dir, id);
    auto envelope = dir.read(name, spool::max_envelope_size);
    if (envelope.has_error())
        return base::error{envelope.error().code, "cannot read " + name};
    spool::envelope_copies copies(dir);
    auto made = copies.make(id, *envelope);
    if (made.has_error() && copies.made() == 0)
        return made.error();
    if (verbose)
        say(fmt::format("{}: copied into {} sub-directories{}", name, copies.made(),
                        made.has_error() ? ", not all: " + made.error().message() : ""));
    if (made.has_error())
        return copied::to_some;
    if (auto removed = dir.remove(name); removed.has_error())
        return removed.error();
    return copied::to_all;
}

base::result<spool::folder*> open_folder(std::optional<spool::folder>& into, os::filesystem& files,
                                         const std::string& path) {
    auto opened = files.open_directory(path);
    if (opened.has_error())
        return base::error{opened.error().code, "invalid spool directory: " + path};
    into.emplace(files, std::move(*opened), path);
    return &*into;
}

int copy_one(const std::string& content_path, bool verbose) {
    const std::size_t slash = content_path.rfind('/');
    const std::string directory = slash == content_path.npos ? "." : content_path.substr(0, slash + 1);
    const std::string id(
        spool::id_of(std::string_view(content_path).substr(slash + 1), spool::content_suffix));
    if (id.empty())
        return fail("not a content file: " + content_path);
    auto files = os::make_filesystem();
    std::optional<spool::folder> dir;
    if (auto opened = open_folder(dir, *files, directory); opened.has_error())
        return fail(opened.error().message());
    auto done = copy_message(*dir, id, verbose);
    if (done.has_error())
        return fail(done.error().message());
    return *done == copied::to_all ? message_abandoned : 0;
}

int copy_all(const std::string& directory, bool verbose) {
    auto files = os::make_filesystem();
    std::optional<spool::folder> dir;
    if (auto opened = open_folder(dir, *files, directory); opened.has_error())
        return fail(opened.error().message());
    std::vector<std::string> ids;
    auto listed = files->list(dir->directory(), [&](std::string_view name) {
        if (const std::string_view id = spool::id_of(name, spool::envelope_suffix); !id.empty())
            ids.emplace_back(id);
    });
    if (listed.has_error())
        return fail(listed.error().message());
    for (const std::string& id : ids)
        if (auto done = copy_message(*dir, id, verbose); done.has_error())
            return fail(done.error().message());
    return 0;
}

int run(const std::vector<std::string>& words) {
    const auto line = config::read_tool_options<table>(words);
    if (line.errors.empty() && line.given.has("version") && !line.given.has("help")) {
        std::fputs(EMAILRELAY_VERSION "\n", stdout);
        return 0;
    }
    // A filter is given the envelope file as well.
    const std::size_t most_words = line.given.has("spool-dir") ? 0 : 2;
    const bool usable =
        line.errors.empty() && line.words.size() <= most_words && (most_words == 0 || !line.words.empty());
    if (line.given.has("help") || !usable) {
        std::fputs(config::error_lines(program, line.errors).c_str(), stderr);
        const std::string help = config::help_text(config::vocabulary{.rows = table},
                                                   {.program = std::string(program),
                                                    .words = {"[<content-file>", "[<envelope-file>]]"},
                                                    .columns = os::terminal_columns()},
                                                   true);
        std::fputs(help.c_str(), line.given.has("help") ? stdout : stderr);
        return 1;
    }
    os::set_umask(007);
    const bool verbose = line.given.has("verbose");
    return line.given.has("spool-dir") ? copy_all(line.given.value("spool-dir"), verbose)
                                       : copy_one(line.words.front(), verbose);
}

} // namespace

int main(int argc, char** argv) {
    os::open_standard_streams();
    try {
        return run(std::vector<std::string>(argv + (argc > 0 ? 1 : 0), argv + argc));
    } catch (const std::exception& e) {
        return fail(e.what());
    }
}
