// What emailrelay-submit and emailrelay-sendmail have in common: the way of a message from its input into the
// spool.
#pragma once

#include "base/result.hpp"
#include "os/caller.hpp"
#include "spool/submission.hpp"
#include "submit/content_splitter.hpp"
#include "submit/header_lines.hpp"
#include "submit/message.hpp"

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace tools {

// The spool directory, opened for the caller. Error: "invalid spool directory: D: no such file or directory".
class opened_spool {
public:
    static base::result<std::unique_ptr<opened_spool>> open(const std::string& path);

    spool::folder& folder() noexcept { return folder_; }
    spool::id_source& ids() noexcept { return ids_; }

private:
    opened_spool(std::unique_ptr<os::filesystem> files, os::file directory, const std::string& path);

    std::unique_ptr<os::filesystem> files_;
    spool::folder folder_;
    spool::id_source ids_;
};

submit::stamp stamp_now();

struct input {
    submit::splitting how{};
    os::caller_stream* stream = nullptr; // null: there is none
    std::string lines_in_front{};        // header lines, or header and text, that go before the stream's
};

enum class where { spool_directory, sub_directories };

// A failure, by what it is about.
struct storing_error {
    enum class kind { input, message, spool, interrupted };
    kind what = kind::spool;
    base::error why;
};

// Reads the input to its end, asks `build` for envelopes and headers once the header section is complete,
// stores the messages durably. Gives their ids; on failure nothing is left.
using message_builder =
    std::function<base::result<std::vector<submit::message>>(const std::string& header_section)>;
boost::system::result<std::vector<std::string>, storing_error>
store_input(opened_spool& into, input from, const message_builder& build, where to = where::spool_directory);

[[noreturn]] inline void throw_exception_from_error(const storing_error& e, const boost::source_location&) {
    throw std::runtime_error(e.why.message());
}

} // namespace tools
