// The admin interface's side of one connection, without I/O (spec/admin.md; docs/admin.md for what is new).
//
//     engine.feed(bytes);
//     for (;;) {
//         action todo = engine.next();
//         ... one branch per kind; where the comment names an answer function, call it before next() again
//     }
//
// Nothing is said until the first line has come: its line end becomes that of the connection. Events and the
// end of a flush come at any time between two calls of next(). The engine knows no socket, file, clock or
// thread; it never throws, and holds one line of input at most.
#pragma once

#include "admin/report.hpp"
#include "base/result.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace admin {

struct server_settings {
    std::string version;
    std::uint64_t process_id = 0;
    bool may_terminate = false;          // --admin-terminate
    bool can_forward = false;            // there is a --forward-to
    std::size_t max_command_line = 4096; // octets; a longer line is no command
    unsigned max_errors = 30;
};

// ---- what the driver has to do

struct read_more {}; // write take_output(), then wait for input, events or the end of a flush
struct write_output {
}; // much has gathered, and input may be left: write take_output(), then go on. No answer.

struct list_messages { // answer: listed()
    enum class which { ready, failed, held } what = which::ready;
};
struct show_message { // answer: shown()
    std::string id;
};
struct change_message { // answer: changed()
    enum class to { unfail, remove, hold, release } what = to::unfail;
    std::string id;
};
struct unfail_all {};    // answer: unfailed()
struct forward_now {};   // no answer: a run is to be requested
struct flush_now {};     // flush_ended() some time later
struct begin_events {};  // notify: from now on event()
struct tell_status {};   // answer: status()
struct tell_counters {}; // answer: counters()
struct enable_smtp {     // no answer
    bool on = true;
};
struct switch_dnsbl { // no answer; for so many seconds off
    bool on = true;
    std::uint64_t off_for = 0;
};
struct terminate {}; // no answer; the process is to end

struct close_session {
    std::string_view reason; // for the log; empty if the client has asked for it
};

using action = std::variant<read_more, list_messages, show_message, change_message, unfail_all, forward_now,
                            flush_now, begin_events, tell_status, tell_counters, enable_smtp, switch_dnsbl,
                            terminate, close_session, write_output>;

class server_engine {
public:
    // The settings outlive the engine.
    explicit server_engine(const server_settings& settings) : settings_(settings) {}

    // The octets must stay where they are until next() has returned read_more or close_session.
    void feed(std::span<const char> bytes) { input_ = bytes; }
    action next();

    void listed(base::result<std::vector<std::string>> ids);
    void shown(const base::result<message_details>& message);
    void changed(const base::result<void>& outcome);
    void unfailed() { prompt(); }
    void status(const status_report& now);
    void counters(const std::vector<counter>& now);

    void flush_ended(const std::string& error); // empty: all done
    void event(std::string_view text);

    bool has_output() const noexcept { return !output_.empty(); }
    std::string take_output() { return std::exchange(output_, {}); }

private:
    struct words {
        std::string command; // lower case
        std::vector<std::string> rest;
        bool has(std::string_view word) const;
        std::string first() const; // the first that is not a switch, or ""
    };

    std::optional<std::string_view> take_line();
    std::optional<action> execute(std::string_view line);
    std::optional<action> execute_new(const words& given);
    std::optional<action> unknown();
    std::optional<action> usage(std::string_view text);
    std::optional<action> info(const words& given);
    std::optional<action> dnsbl(const words& given);
    std::optional<action> with_id(const words& given, action what);

    void line(std::string_view text);
    void prompt();
    void reply(std::string_view text); // a line and the prompt
    template <class Report>
    void answer(const Report& report); // in the form that was asked for
    void answer_error(const base::error& why);

    const server_settings& settings_;
    std::span<const char> input_;
    std::string held_; // the beginning of a line
    std::string line_; // the line in hand
    bool first_line_ = true;
    bool too_long_ = false;    // that line is
    std::optional<bool> crlf_; // decided by the first line
    std::string output_;
    unsigned errors_ = 0;
    bool flushing_ = false;
    bool json_ = false;        // of the command in hand
    std::string_view listing_; // name of the list in hand
    bool over_ = false;
    std::string_view reason_;
};

} // namespace admin
