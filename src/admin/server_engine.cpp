#include "admin/server_engine.hpp"

#include "base/text.hpp"

#include <algorithm>
#include <array>
#include <utility>

namespace admin {

namespace {

constexpr std::string_view the_prompt = "E-MailRelay> ";
constexpr std::string_view no_remote_server = "error: no remote server configured: use --forward-to";

constexpr std::size_t output_piece = 32 * 1024; // more than that is written before more is made

struct topic {
    std::string_view name;
    std::string_view text; // lines separated by \n
};

constexpr std::array topics{
    topic{"copyright", "Copyright (c) the emailrelay authors\n"},
    topic{"credit", "This product uses Boost, OpenSSL or Mbed TLS, c-ares, {fmt} and GNU libidn.\n"},
    topic{"warranty",
          "This program is provided on an \"as is\" basis, without warranties or conditions of any\n"
          "kind, either express or implied, under the Apache License, Version 2.0.\n"}};

std::vector<std::string_view> split_words(std::string_view line) {
    constexpr std::string_view blanks = " \t\r\v\f";
    std::vector<std::string_view> words;
    for (;;) {
        std::size_t begin = line.find_first_not_of(blanks);
        if (begin == std::string_view::npos)
            return words;
        line.remove_prefix(begin);
        std::size_t end = std::min(line.find_first_of(blanks), line.size());
        words.push_back(line.substr(0, end));
        line.remove_prefix(end);
    }
}

} // namespace

bool server_engine::words::has(std::string_view word) const {
    return std::find(rest.begin(), rest.end(), word) != rest.end();
}

std::string server_engine::words::first() const {
    auto found = std::find_if(rest.begin(), rest.end(), [](const auto& w) { return !w.starts_with("--"); });
    return found == rest.end() ? std::string() : *found;
}

// The next line without its end. With CR-LF chosen a lone LF is part of the line.
std::optional<std::string_view> server_engine::take_line() {
    const std::string_view input(input_.data(), input_.size());
    std::size_t from = 0;
    for (;;) {
        std::size_t end = input.find('\n', from);
        if (end == std::string_view::npos)
            break;
        bool cr = end > 0 ? input[end - 1] == '\r' : held_.ends_with('\r');
        if (crlf_.value_or(false) && !cr) {
            from = end + 1;
            continue;
        }
        if (!crlf_)
            crlf_ = cr;
        line_ = std::exchange(held_, {});
        line_.append(input.substr(0, std::min(end, settings_.max_command_line + 1)));
        input_ = input_.subspan(end + 1);
        if (*crlf_ && line_.ends_with('\r'))
            line_.pop_back();
        too_long_ = line_.size() > settings_.max_command_line;
        return line_;
    }
    // What is too long is no command, so no more than that needs to be remembered; its last octet decides
    // about the line end.
    held_.append(input.substr(0, std::min(input.size(), settings_.max_command_line + 2)));
    if (held_.size() > settings_.max_command_line + 2) {
        held_.resize(settings_.max_command_line + 2);
        held_.back() = input.empty() ? held_.back() : input.back();
    }
    input_ = {};
    return std::nullopt;
}

action server_engine::next() {
    for (;;) {
        if (over_)
            return close_session{reason_};
        if (output_.size() >= output_piece)
            return write_output{};
        auto line = take_line();
        if (!line)
            return read_more{};
        if (auto todo = execute(*line))
            return std::move(*todo);
    }
}

std::optional<action> server_engine::execute(std::string_view line) {
    words given;
    const auto all = split_words(line);
    // A web browser can be made to post commands to any port; it cannot be made to leave out its request
    // line.
    if (std::exchange(first_line_, false) && !all.empty() && base::is_http_method(all.front())) {
        reply("error: unrecognised command");
        over_ = true;
        reason_ = "http request";
        return std::nullopt;
    }
    for (std::string_view word : all)
        if (given.command.empty())
            given.command = base::to_lower(word);
        else
            given.rest.emplace_back(word);
    json_ = given.has("--json");
    if (too_long_)
        return unknown();
    if (given.command.empty()) {
        prompt();
        return std::nullopt;
    }
    const std::string& command = given.command;
    if (command == "help") {
        std::string_view more =
            given.has("--all") ? ", hold, release, remove, show, stats, unfail" : std::string_view();
        reply(
            "commands: dnsbl, failures, flush, forward, help, info, list, notify, pid, quit, smtp, status, " +
            std::string(settings_.may_terminate ? "terminate, " : "") + "unfail-all" + std::string(more));
        return std::nullopt;
    }
    if (command == "status")
        return tell_status{};
    if (command == "list" || command == "failures") {
        using which = list_messages::which;
        bool failed = command == "failures", held = !failed && given.has("--held");
        listing_ = failed ? "failed" : held ? "held" : "ready";
        return list_messages{failed ? which::failed : held ? which::held : which::ready};
    }
    if (command == "unfail-all")
        return unfail_all{};
    if (command == "forward") {
        reply(settings_.can_forward ? "OK" : no_remote_server);
        return settings_.can_forward ? std::optional<action>(forward_now{}) : std::nullopt;
    }
    if (command == "flush") {
        bool starts = false;
        if (flushing_)
            reply("error: still working");
        else if (!settings_.can_forward)
            reply(no_remote_server);
        else
            flushing_ = starts = true;
        return starts ? std::optional<action>(flush_now{}) : std::nullopt;
    }
    if (command == "notify")
        return begin_events{};
    if (command == "pid") {
        reply(std::to_string(settings_.process_id));
        return std::nullopt;
    }
    if (command == "info")
        return info(given);
    if (command == "smtp") {
        bool on = !given.rest.empty() && base::iequals(given.rest[0], "enable");
        if (!on && (given.rest.empty() || !base::iequals(given.rest[0], "disable")))
            return usage("smtp {disable|enable}");
        reply("OK");
        return enable_smtp{on};
    }
    if (command == "dnsbl")
        return dnsbl(given);
    if (command == "terminate" && settings_.may_terminate)
        return terminate{};
    if (command == "quit") {
        over_ = true;
        return std::nullopt;
    }
    return execute_new(given);
}

// Commands that the reference does not have.
std::optional<action> server_engine::execute_new(const words& given) {
    using to = change_message::to;
    const std::string& command = given.command;
    if (command == "show")
        return with_id(given, show_message{given.first()});
    if (command == "unfail")
        return with_id(given, change_message{to::unfail, given.first()});
    if (command == "remove")
        return with_id(given, change_message{to::remove, given.first()});
    if (command == "hold")
        return with_id(given, change_message{to::hold, given.first()});
    if (command == "release")
        return with_id(given, change_message{to::release, given.first()});
    if (command == "stats")
        return tell_counters{};
    return unknown();
}

std::optional<action> server_engine::with_id(const words& given, action what) {
    if (given.first().empty())
        return usage(given.command + " <id>");
    return what;
}

std::optional<action> server_engine::unknown() {
    reply("error: unrecognised command");
    if (++errors_ >= settings_.max_errors && settings_.max_errors != 0) {
        over_ = true;
        reason_ = "too many errors";
    }
    return std::nullopt;
}

std::optional<action> server_engine::usage(std::string_view text) {
    reply("usage: " + std::string(text));
    return std::nullopt;
}

std::optional<action> server_engine::info(const words& given) {
    std::string name = given.rest.empty() ? std::string() : base::to_lower(given.rest[0]);
    if (name == "version") {
        reply(settings_.version);
        return std::nullopt;
    }
    auto found = std::find_if(topics.begin(), topics.end(), [&](const topic& t) { return t.name == name; });
    if (found == topics.end())
        return usage("info {copyright|credit|version|warranty}");
    for (const std::string& text : base::split(found->text, '\n'))
        line(text);
    prompt();
    return std::nullopt;
}

std::optional<action> server_engine::dnsbl(const words& given) {
    constexpr std::uint64_t for_ever = 4'294'967'295;
    const auto& rest = given.rest;
    if (rest.size() == 1 && base::iequals(rest[0], "start")) {
        reply("OK");
        return switch_dnsbl{true, 0};
    }
    if ((rest.size() == 1 || rest.size() == 2) && base::iequals(rest[0], "stop")) {
        auto seconds = rest.size() == 2 ? base::to_number(rest[1]) : std::optional(for_ever);
        if (seconds) {
            reply("OK");
            return switch_dnsbl{false, std::min(*seconds, for_ever)};
        }
    }
    return usage("dnsbl {start|stop <timeout>}");
}

template <class Report>
void server_engine::answer(const Report& report) {
    if (json_) {
        reply(json_of(report));
        return;
    }
    for (const std::string& text : lines_of(report))
        line(text);
    prompt();
}

void server_engine::answer_error(const base::error& why) {
    reply(json_ ? json_of_error(why.message()) : "error: " + base::printable(why.message()));
}

void server_engine::status(const status_report& now) {
    answer(now);
}

void server_engine::counters(const std::vector<counter>& now) {
    answer(now);
}

void server_engine::listed(base::result<std::vector<std::string>> ids) {
    if (ids.has_error())
        answer_error(ids.error());
    else
        answer(message_ids{listing_, std::move(*ids)});
}

void server_engine::shown(const base::result<message_details>& message) {
    if (message.has_error())
        answer_error(message.error());
    else
        answer(*message);
}

void server_engine::changed(const base::result<void>& outcome) {
    reply(outcome.has_error() ? "error: " + base::printable(outcome.error().message()) : "OK");
}

void server_engine::flush_ended(const std::string& error) {
    flushing_ = false;
    reply(error.empty() ? "OK" : "error: " + error);
}

// An event begins a line and does not end it (spec/admin.md section 4).
void server_engine::event(std::string_view text) {
    line("");
    output_.append("EVENT: ").append(text).append("  ");
}

void server_engine::line(std::string_view text) {
    output_.append(text).append(crlf_.value_or(false) ? "\r\n" : "\n");
}

void server_engine::prompt() {
    output_ += the_prompt;
}

void server_engine::reply(std::string_view text) {
    line(text);
    prompt();
}

} // namespace admin
