// For the tests of client_engine: a driver without a network, and a log to look at. The peer is a function
// from what was written to what it answers; its answers reach the engine in pieces of a given size.
#pragma once

#include "smtp/client_engine.hpp"

#include <algorithm>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace smtp::testing {

class recording_sink : public base::log_sink {
public:
    explicit recording_sink(bool verbose = true) : verbose_(verbose) {}
    bool wants(base::severity, base::detail amount) const noexcept override {
        return verbose_ || amount == base::detail::summary;
    }
    void write(base::severity level, const base::log_context&, std::string_view text) override {
        lines.push_back((level == base::severity::warning ? "warning: " : "") + std::string(text));
    }
    bool has(std::string_view line) const { return std::ranges::find(lines, line) != lines.end(); }

    std::vector<std::string> lines;

private:
    bool verbose_;
};

struct letter {
    mail::envelope envelope;
    std::string content;
};

inline client_settings settings(bool pipelining = false, bool forward_to_some = false) {
    client_settings s;
    s.helo_name = "me.example";
    s.pipelining = pipelining;
    s.forward_to_some = forward_to_some;
    return s;
}

inline letter a_letter(std::string content = "hi\n", std::vector<std::string> to = {"r@b"}) {
    letter one;
    one.envelope.from = "s@a";
    one.envelope.to_remote = std::move(to);
    one.content = std::move(content);
    return one;
}

inline std::string crlf(const std::string& lines) {
    return lines.empty() ? lines : lines + "\r\n";
}

inline std::string some_octets(std::size_t count) {
    std::string octets(count, '\0');
    for (std::size_t i = 0; i < count; ++i)
        octets[i] = static_cast<char>(i * 7 + i / 256);
    return octets;
}

// What the peer does when its turn comes.
struct turn {
    enum class kind { replies, closes, stays_silent };
    kind what = kind::replies;
    std::string text;
};

// Sends all letters, then quits. `peer` is given what was written and says what comes back. With `ahead` each
// letter is to begin behind the one before. Events, as text:
//     sent | sent to some: reason [a,b] | refused 550: reason | failed: reason | session failed: reason |
//     session failed with message: reason | over
inline std::vector<std::string> drive(client_engine& engine, const std::vector<letter>& letters,
                                      const std::function<turn(std::string)>& peer,
                                      std::size_t piece = std::string::npos,
                                      std::size_t content_piece = std::string::npos, bool ahead = false) {
    std::vector<std::string> events;
    std::size_t next_letter = 0;
    bool next_has_begun = false;
    turn answer;
    std::string_view unread; // of the answer
    std::string_view unsent;
    std::string written;
    const auto send_next = [&] {
        unsent = letters[next_letter].content;
        engine.send(letters[next_letter].envelope, unsent.size());
        ++next_letter;
    };
    for (int steps = 0; steps < 1'000'000; ++steps) {
        const client_action action = engine.next();
        const bool reads = std::holds_alternative<read_reply>(action) && !engine.has_output();
        if (!unread.empty() && !reads && !std::holds_alternative<message_done>(action)) {
            events.emplace_back("went on before the end of the reply");
            return events;
        }
        if (std::holds_alternative<read_reply>(action)) {
            if (unread.empty() && answer.what == turn::kind::stays_silent) { // the rest of it
                answer = {};
                engine.timed_out(7);
                continue;
            }
            if (unread.empty()) {
                answer = peer(std::exchange(written, {}) + engine.take_output());
                unread = answer.text;
            }
            engine.feed(unread.substr(0, piece));
            unread.remove_prefix(std::min(piece, unread.size()));
            if (!unread.empty())
                continue;
            if (answer.what == turn::kind::closes)
                engine.disconnected({});
        } else if (const auto* work = std::get_if<compute>(&action)) {
            work->job();
            engine.computed();
        } else if (std::holds_alternative<session_ready>(action)) {
            if (next_letter == letters.size()) {
                engine.quit();
                continue;
            }
            send_next();
        } else if (const auto* want = std::get_if<read_content>(&action)) {
            const std::string bytes(unsent.substr(0, std::min(want->at_most, content_piece)));
            unsent.remove_prefix(bytes.size());
            engine.content(bytes, unsent.empty());
            if (ahead && unsent.empty() && next_letter < letters.size()) {
                const letter copy = letters[next_letter]; // the engine lets go of it
                next_has_begun = engine.follow(copy.envelope, copy.content.size());
            }
            written += engine.take_output();
        } else if (const auto* done = std::get_if<message_done>(&action)) {
            std::string refused;
            for (const std::string& address : done->refused)
                refused += (refused.empty() ? "" : ",") + address;
            switch (done->what) {
            case message_done::result::sent:
                events.emplace_back("sent");
                break;
            case message_done::result::sent_to_some:
                events.push_back("sent to some: " + done->reason + " [" + refused + "]");
                break;
            case message_done::result::recipients_refused:
            case message_done::result::refused:
                events.push_back("refused " + std::to_string(done->code.value_or(0)) + ": " + done->reason);
                break;
            case message_done::result::failed:
                events.push_back("failed: " + done->reason);
                break;
            }
            if (std::exchange(next_has_begun, false))
                send_next();
        } else if (const auto* failed = std::get_if<session_failed>(&action)) {
            events.push_back(
                (failed->message_in_hand ? "session failed with message: " : "session failed: ") +
                failed->reason);
            if (engine.has_output())
                events.emplace_back("output left");
            return events;
        } else {
            peer(engine.take_output());
            events.emplace_back("over");
            return events;
        }
    }
    events.emplace_back("does not end");
    return events;
}

} // namespace smtp::testing
