// What the admin interface tells, and its forms: lines for people, one line of JSON for programs.
//
// Lines are without line ends. JSON strings are UTF-8 whatever the files hold: other octets appear as \xHH.
#pragma once

#include "mail/envelope.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace admin {

struct status_report {
    struct connection {
        std::string local, peer;
    };
    std::vector<std::string> listening;
    std::uint64_t in_started = 0, in_finished = 0, out_started = 0, out_finished = 0;
    std::vector<connection> in, out;
};

struct message_details {
    std::string id;
    std::string state; // "ready", "busy", "failed", "held"
    mail::envelope envelope;
    std::vector<std::string> extra; // lines behind the envelope
    std::uint64_t content_size = 0;
    std::string beginning; // of the content
    std::string problem;   // with reading the files; mostly empty
};

struct counter {
    std::string_view name;
    std::uint64_t value = 0;
};

struct message_ids {
    std::string_view which; // "ready", "failed", "held"
    std::vector<std::string> ids;
};

std::vector<std::string> lines_of(const status_report& status);
std::vector<std::string> lines_of(const message_details& message);
std::vector<std::string> lines_of(const std::vector<counter>& counters);
std::vector<std::string> lines_of(const message_ids& list);

std::string json_of(const status_report& status);
std::string json_of(const message_details& message);
std::string json_of(const std::vector<counter>& counters);
std::string json_of(const message_ids& list);
std::string json_of_error(std::string_view text);

} // namespace admin
