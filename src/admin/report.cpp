#include "admin/report.hpp"

#include "base/text.hpp"

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <fmt/format.h>

namespace admin {

namespace json = boost::json;

namespace {

constexpr std::size_t most_header_lines = 20;

// First lines of the headers, folded ones included.
std::vector<std::string> header_lines(std::string_view content) {
    std::vector<std::string> lines;
    while (!content.empty() && lines.size() < most_header_lines) {
        std::size_t end = content.find('\n');
        if (end == std::string_view::npos)
            break; // cut off
        std::string_view line = content.substr(0, end);
        content.remove_prefix(end + 1);
        if (line.ends_with('\r'))
            line.remove_suffix(1);
        if (line.empty())
            break;
        lines.emplace_back(line);
    }
    return lines;
}

std::string_view name_of(mail::body_type type) {
    switch (type) {
    case mail::body_type::seven_bit:
        return "7bit";
    case mail::body_type::eight_bit:
        return "8bit";
    case mail::body_type::binary_mime:
        return "binarymime";
    case mail::body_type::unknown:
        break;
    }
    return "unknown";
}

struct failure {
    std::string reason, code;
};

// The pairs of lines that failing a message appends; the last is the newest.
std::vector<failure> failures_of(const std::vector<std::string>& extra) {
    constexpr std::string_view reason = "X-MailRelay-Reason:", code = "X-MailRelay-ReasonCode:";
    std::vector<failure> found;
    for (const std::string& line : extra) {
        if (line.starts_with(reason))
            found.push_back({std::string(base::trim(std::string_view(line).substr(reason.size()))), {}});
        else if (line.starts_with(code) && !found.empty())
            found.back().code = base::trim(std::string_view(line).substr(code.size()));
    }
    return found;
}

json::string text(std::string_view from) {
    return json::string(base::is_utf8(from) ? std::string(from) : base::printable_ascii(from));
}

json::array array(const std::vector<std::string>& from) {
    json::array all;
    all.reserve(from.size());
    for (const std::string& one : from)
        all.emplace_back(text(one));
    return all;
}

json::array array(const std::vector<status_report::connection>& from) {
    json::array all;
    for (const auto& one : from)
        all.emplace_back(json::object{{"local", text(one.local)}, {"peer", text(one.peer)}});
    return all;
}

} // namespace

std::vector<std::string> lines_of(const status_report& s) {
    std::vector<std::string> lines;
    for (const std::string& address : s.listening)
        lines.push_back("LISTEN: " + address);
    lines.push_back(fmt::format("OUT started: {}", s.out_started));
    lines.push_back(fmt::format("OUT finished: {}", s.out_finished));
    for (const auto& c : s.out)
        lines.push_back(fmt::format("OUT: {} -> {}", c.local, c.peer));
    lines.push_back(fmt::format("IN started: {}", s.in_started));
    lines.push_back(fmt::format("IN finished: {}", s.in_finished));
    for (const auto& c : s.in)
        lines.push_back(fmt::format("IN: {} <- {}", c.local, c.peer));
    return lines;
}

std::vector<std::string> lines_of(const message_details& m) {
    std::vector<std::string> lines;
    auto add = [&](std::string_view name, std::string_view value) {
        lines.push_back(fmt::format("{}: {}", name, base::printable(value)));
    };
    auto add_if = [&](std::string_view name, std::string_view value) {
        if (!value.empty())
            add(name, value);
    };
    const mail::envelope& e = m.envelope;
    add("id", m.id);
    add("state", m.state);
    add("size", std::to_string(m.content_size));
    add_if("problem", m.problem);
    add("from", e.from);
    for (const std::string& to : e.to_local)
        add("to-local", to);
    for (const std::string& to : e.to_remote)
        add("to", to);
    add("content", name_of(e.content));
    add_if("authentication", e.authentication);
    add_if("client", e.client);
    add_if("forward-to", e.forward_to);
    add_if("forward-to-address", e.forward_to_address);
    add_if("client-account-selector", e.client_account_selector);
    for (const failure& f : failures_of(m.extra)) {
        lines.push_back("reason: " + f.reason); // escaped in the file already
        if (!f.code.empty())
            lines.push_back("reason-code: " + f.code);
    }
    for (const std::string& header : header_lines(m.beginning))
        add("header", header);
    return lines;
}

std::vector<std::string> lines_of(const std::vector<counter>& counters) {
    std::vector<std::string> lines;
    for (const counter& c : counters)
        lines.push_back(fmt::format("{} {}", c.name, c.value));
    return lines;
}

std::vector<std::string> lines_of(const message_ids& list) {
    if (list.ids.empty())
        return {"<none>"};
    std::vector<std::string> lines;
    for (const std::string& id : list.ids)
        lines.push_back(base::printable(id));
    return lines;
}

std::string json_of(const status_report& s) {
    return json::serialize(json::object{
        {"listen", array(s.listening)},
        {"out",
         json::object{{"started", s.out_started}, {"finished", s.out_finished}, {"open", array(s.out)}}},
        {"in", json::object{{"started", s.in_started}, {"finished", s.in_finished}, {"open", array(s.in)}}}});
}

std::string json_of(const message_details& m) {
    const mail::envelope& e = m.envelope;
    json::array failures;
    for (const failure& f : failures_of(m.extra)) {
        json::object one{{"reason", text(f.reason)}};
        if (auto code = base::to_number(f.code))
            one["code"] = *code;
        failures.emplace_back(std::move(one));
    }
    json::object all{{"id", text(m.id)},
                     {"state", m.state},
                     {"size", m.content_size},
                     {"from", text(e.from)},
                     {"to_local", array(e.to_local)},
                     {"to", array(e.to_remote)},
                     {"content", name_of(e.content)},
                     {"authentication", text(e.authentication)},
                     {"client", text(e.client)},
                     {"forward_to", text(e.forward_to)},
                     {"forward_to_address", text(e.forward_to_address)},
                     {"client_account_selector", text(e.client_account_selector)},
                     {"failures", std::move(failures)},
                     {"headers", array(header_lines(m.beginning))}};
    if (!m.problem.empty())
        all["problem"] = text(m.problem);
    return json::serialize(all);
}

std::string json_of(const std::vector<counter>& counters) {
    json::object all;
    for (const counter& c : counters)
        all[c.name] = c.value;
    return json::serialize(all);
}

std::string json_of(const message_ids& list) {
    return json::serialize(json::object{{list.which, array(list.ids)}});
}

std::string json_of_error(std::string_view what) {
    return json::serialize(json::object{{"error", text(what)}});
}

} // namespace admin
