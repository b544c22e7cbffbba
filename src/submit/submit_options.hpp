// The command line of emailrelay-submit (spec/utilities.md section 1.1).
#pragma once

#include "config/configuration.hpp"
#include "submit/message.hpp"

#include <string>
#include <variant>
#include <vector>

namespace submit {

inline constexpr std::string_view submit_program = "emailrelay-submit";

// What is printed for each message stored.
enum class shown { nothing, base_name, path };

struct submit_options {
    request wanted;
    shown show = shown::nothing;
    std::string spool_dir;  // as written
    std::string input_file; // empty: stdin
    bool read_input = true;
    bool body_only = false;
    bool copy = false;         // envelopes into the sub-directories
    std::string content_lines; // of --content, each with LF
};

std::variant<submit_options, config::ending> read_submit_options(const std::vector<std::string>& words,
                                                                 unsigned columns,
                                                                 const std::string& default_spool_dir);

} // namespace submit
