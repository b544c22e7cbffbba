// emailrelay-submit: puts one message into the spool, durably (spec/utilities.md section 1).
//
// Exit code 0 means that the message is on stable storage and visible to the relay; with any other nothing of
// it is there. May be installed set-gid with the group of the spool directory: see os/caller.hpp.
#include "os/process.hpp"
#include "submit/submit_options.hpp"
#include "tools/store_input.hpp"

#include "base/text.hpp"
#include "spool/names.hpp"

#include <fmt/format.h>

#include <cstdio>
#include <exception>

namespace {

using submit::submit_options;

int fail(const std::string& text) {
    // A stderr that cannot be written to changes nothing.
    std::fputs(fmt::format("{}: {}\n", submit::submit_program, text).c_str(), stderr);
    return 1;
}

std::string shown_name(const submit_options& o, const std::string& id) {
    const std::string name = spool::name_of(id, spool::content_suffix);
    if (o.show == submit::shown::base_name)
        return name;
    return o.spool_dir + (o.spool_dir.ends_with('/') ? "" : "/") + name;
}

int run(const submit_options& o) {
    std::optional<os::caller_stream> stream;
    if (!o.input_file.empty()) {
        auto opened = os::caller_stream::open(o.input_file);
        if (opened.has_error())
            return fail(fmt::format("cannot open input file [{}]", base::printable(o.input_file)));
        stream.emplace(std::move(*opened));
    } else if (o.read_input) {
        stream.emplace(os::caller_stream::standard_input());
    }
    auto spool = tools::opened_spool::open(o.spool_dir);
    if (spool.has_error())
        return fail(spool.error().message());

    const tools::input from{.how = {.body_only = o.body_only,
                                    .dot_ends = o.input_file.empty() && stream && stream->is_terminal()},
                            .stream = stream ? &*stream : nullptr,
                            .lines_in_front = o.content_lines};
    const auto build = [&o, when = tools::stamp_now()](const std::string& header) {
        return submit::build_messages(o.wanted, header, when);
    };
    auto stored = tools::store_input(**spool, from, build,
                                     o.copy ? tools::where::sub_directories : tools::where::spool_directory);
    if (stored.has_error()) {
        if (stored.error().what == tools::storing_error::kind::interrupted)
            if (const auto signal = os::pending_signal())
                os::die_by(*signal);
        return fail(stored.error().why.message());
    }
    std::string names;
    if (o.show != submit::shown::nothing)
        for (const std::string& id : *stored)
            names += shown_name(o, id) + "\n";
    (void)os::caller_stream::standard_output().write(names); // the message is stored in any case
    return 0;
}

} // namespace

int main(int argc, char** argv) {
    os::begin_as_tool();
    try {
        const std::vector<std::string> words(argv + (argc > 0 ? 1 : 0), argv + argc);
        auto read = submit::read_submit_options(words, os::terminal_columns(), EMAILRELAY_SPOOL_DIR);
        if (const auto* end = std::get_if<config::ending>(&read)) {
            std::fputs(end->out.c_str(), stdout);
            std::fputs(end->err.c_str(), stderr);
            return end->exit_code;
        }
        return run(std::get<submit_options>(read));
    } catch (const std::exception& e) {
        return fail(e.what());
    }
}
