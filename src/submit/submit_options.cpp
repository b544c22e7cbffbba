#include "submit/submit_options.hpp"

#include "base/base64.hpp"
#include "base/text.hpp"
#include "config/tool_options.hpp"

#include <fmt/format.h>

namespace submit {

namespace {

using config::value_kind;

constexpr config::option table[] = {
    // clang-format off
    {.name = "help", .letter = 'h', .text = "show this and end", .brief = 1},
    {.name = "version", .letter = 'V', .text = "show the version and end", .brief = 2},
    {.name = "verbose", .letter = 'v', .text = "print the path of the new content file; with --help show all", .brief = 3},
    {.name = "filename", .letter = 'n', .text = "print the name of the new content file, without its directory", .brief = 4},
    {.name = "spool-dir", .letter = 's', .takes = value_kind::one, .placeholder = "<dir>",
     .text = "spool directory of the relay", .normally = "/var/spool/emailrelay", .brief = 5},
    {.name = "input-file", .letter = 'x', .takes = value_kind::one, .placeholder = "<file>",
     .text = "read the message from this file instead of the standard input"},
    {.name = "no-stdin", .letter = 'N', .text = "read no input: the message is what --content gives"},
    {.name = "from", .letter = 'f', .takes = value_kind::one, .placeholder = "<address>",
     .text = "sender in the envelope; else it is taken from the From or Sender header", .brief = 6},
    {.name = "to", .takes = value_kind::list, .placeholder = "<address>",
     .text = "recipient in the envelope, like the words behind the options; without any they are taken from the headers"},
    {.name = "body", .letter = 'B', .text = "the input is the text of the message, without headers"},
    {.name = "content", .letter = 'C', .takes = value_kind::list, .placeholder = "<base64>",
     .text = "a line of the message, in front of the input: headers up to an empty line (=), then text"},
    {.name = "content-date", .letter = 'd', .text = "add a Date header if there is none"},
    {.name = "content-message-id", .letter = 'I', .takes = value_kind::may_follow, .placeholder = "<domain>",
     .text = "add a Message-ID header if there is none", .normally = "local"},
    {.name = "content-from", .letter = 'F', .text = "put the envelope's sender in the place of the From and Sender headers"},
    {.name = "content-to", .letter = 't', .text = "put the envelope's recipients in the place of the To, Cc and Bcc headers"},
    {.name = "bcc-split", .letter = 'b',
     .text = "with several Bcc recipients in the headers store a message for each of them, so that none sees the others"},
    {.name = "copy", .letter = 'c', .text = "put the envelope into all sub-directories of the spool instead of the spool itself"},
    {.name = "auth", .letter = 'a', .takes = value_kind::one, .placeholder = "<name>", .text = "authentication name in the envelope"},
    {.name = "from-auth-in", .letter = 'i', .takes = value_kind::one, .placeholder = "<name>",
     .text = "AUTH parameter of the sender as if received"},
    {.name = "from-auth-out", .letter = 'o', .takes = value_kind::one, .placeholder = "<name>",
     .text = "AUTH parameter of the sender to be sent"},
    {.name = "debug", .text = "ignored", .hidden = true},
    // clang-format on
};

using options = config::tool_options<table>;

config::ending fail(std::string_view text) {
    return {.exit_code = 1, .err = fmt::format("{}: {}\n", submit_program, text)};
}

std::string help(const options& line, unsigned columns, const std::string& default_spool_dir) {
    return config::help_text(config::vocabulary{.rows = table},
                             {.program = std::string(submit_program),
                              .words = {"[<recipient>", "...]"},
                              .columns = columns,
                              .default_spool_dir = default_spool_dir},
                             line.given.has("verbose"));
}

// One line for each; an argument of one character, such as "=", is an empty line.
std::optional<std::string> decode_lines(const std::vector<std::string>& written) {
    std::string lines;
    for (const std::string& one : written) {
        const auto text = one.size() == 1 ? std::string() : base::base64_decode(one);
        if (!text)
            return std::nullopt;
        lines.append(*text).append("\n");
    }
    return lines;
}

// Given but empty means "<>".
std::string auth_parameter(const options& line, config::row_of<table> name) {
    if (!line.given.has(name))
        return {};
    const std::string value = line.given.value(name);
    return value.empty() ? "<>" : base::xtext_encode(value);
}

std::vector<std::string> all_recipients(const options& line) {
    std::vector<std::string> all = line.words;
    const auto& more = line.given.values("to");
    all.insert(all.end(), more.begin(), more.end());
    return all;
}

} // namespace

std::variant<submit_options, config::ending> read_submit_options(const std::vector<std::string>& words,
                                                                 unsigned columns,
                                                                 const std::string& default_spool_dir) {
    const options line = config::read_tool_options<table>(words);
    const auto& given = line.given;
    if (given.has("help"))
        return config::ending{.out = help(line, columns, default_spool_dir)};
    if (!line.errors.empty())
        return config::ending{.exit_code = 1, .err = config::error_lines(submit_program, line.errors)};
    if (given.has("version"))
        return config::ending{.out = EMAILRELAY_VERSION "\n"};

    submit_options o;
    const auto lines = decode_lines(given.values("content"));
    if (!lines)
        return fail("base64 encoding error");
    o.content_lines = *lines;
    o.show = given.has("verbose") ? shown::path : given.has("filename") ? shown::base_name : shown::nothing;
    o.spool_dir = given.has("spool-dir") ? given.value("spool-dir") : default_spool_dir;
    o.input_file = given.value("input-file");
    o.read_input = !given.has("no-stdin") || given.has("input-file");
    o.body_only = given.has("body");
    o.copy = given.has("copy");

    request& r = o.wanted;
    if (given.has("from"))
        r.from = given.value("from");
    r.to = all_recipients(line);
    r.authentication = given.value("auth");
    r.mail_from_auth_in = auth_parameter(line, "from-auth-in");
    r.mail_from_auth_out = auth_parameter(line, "from-auth-out");
    r.add_date = given.has("content-date");
    r.replace_originators = given.has("content-from");
    r.replace_recipients = given.has("content-to");
    r.bcc_split = given.has("bcc-split");
    if (given.has("content-message-id")) {
        r.message_id_domain = given.value("content-message-id");
        if (r.message_id_domain->empty())
            r.message_id_domain = "local";
        if (!can_be_message_id_domain(*r.message_id_domain))
            return fail(
                fmt::format("invalid message-id domain: [{}]", base::printable(*r.message_id_domain)));
    }
    return o;
}

} // namespace submit
