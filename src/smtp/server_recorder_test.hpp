// Plays the driver to a server_engine and writes down what happens, for the tests and the fuzz target.
//
// The record has one line for each reply line ("S: 250 hello") and each action ("A: begin"), in the order in
// which the engine did them; it does not show how the input was cut: content is joined, and that of a message
// given up is left out. Every piece of input lives in memory of its own that is gone after read_more.
#pragma once

#include "base/log.hpp"
#include "base/text.hpp"
#include "smtp/server_engine.hpp"

#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace smtp::testing {

class log_record : public base::log_sink {
public:
    bool wants(base::severity, base::detail amount) const noexcept override {
        return everything || amount == base::detail::summary;
    }
    void write(base::severity level, const base::log_context&, std::string_view text) override {
        lines.push_back((level == base::severity::warning ? "warning: " : "info: ") + std::string(text));
    }
    bool everything = true;
    std::vector<std::string> lines;
};

// Answers by the local part: "local", "other", "reject", "later", "bare", "abort"; everything else is remote.
inline recipient_verdict verdict_for(std::string_view address) {
    using kind = recipient_verdict::kind;
    const std::string_view name = address.substr(0, address.find('@'));
    recipient_verdict v;
    if (name == "local")
        v = {kind::local, "mailbox", "Full Name", "", ""};
    else if (name == "nameless")
        v = {kind::local, "mailbox", "", "", ""};
    else if (name == "other")
        v.address = "b\u00e4r@elsewhere.example";
    else if (name == "reject" || name == "r\u00e9ject")
        v = {kind::rejected, "", "", "no such\tuser", "not listed"};
    else if (name == "later" || name == "lat\u00e9r")
        v = {kind::rejected_for_now, "", "", "try again", ""};
    else if (name == "bare" || name == "b\u00e1re")
        v = {kind::rejected, "", "", "", ""};
    else if (name == "abort")
        v.what = kind::abort_session;
    return v;
}

class server_recorder {
public:
    explicit server_recorder(const server_settings& settings, peer_info peer = {"192.0.2.1", false},
                             bool service_available = true, std::optional<authentication> required = {})
        : engine_(settings, std::move(peer), base::logger(log)) {
        if (required)
            engine_.require(std::move(*required));
        engine_.start(service_available);
        go_on();
    }

    server_recorder(const server_recorder&) = delete;
    server_recorder& operator=(const server_recorder&) = delete;

    // Octets that follow STARTTLS in clear never reach the engine.
    void feed(std::string_view bytes) {
        if (closed || in_handshake)
            return;
        const std::unique_ptr<char[]> copy(new char[bytes.size()]);
        bytes.copy(copy.get(), bytes.size());
        engine_.feed({copy.get(), bytes.size()});
        go_on();
    }

    void tls_established(base::tls_session session) {
        in_handshake = false;
        engine_.tls_established(std::move(session));
        go_on();
    }

    void tls_failed() {
        in_handshake = false;
        engine_.tls_failed("peer disconnected: ssl accept");
        go_on();
    }

    void end_session(int code, std::string_view text, std::string_view reason) {
        engine_.end_session(code, text, reason);
        go_on();
    }

    server_engine& engine() { return engine_; }

    std::vector<std::string> record;
    std::vector<mail::envelope> envelopes;
    std::vector<std::string> contents;   // of the messages committed
    std::deque<commit_outcome> outcomes; // for the commits to come; then 250
    log_record log;
    bool closed = false;
    bool in_handshake = false; // start_tls has been asked for and not answered
    std::string content;       // of the message in hand

private:
    void go_on() {
        for (;;) {
            const server_action todo = engine_.next();
            write_replies();
            if (std::holds_alternative<read_more>(todo))
                return;
            act(todo);
            if (closed || in_handshake)
                return;
        }
    }

    void write_replies() {
        std::string out = engine_.take_output();
        for (std::size_t end = out.find("\r\n"); end != std::string::npos; end = out.find("\r\n")) {
            record.push_back("S: " + out.substr(0, end));
            out.erase(0, end + 2);
        }
        if (!out.empty())
            record.push_back("S: reply without line end: " + out);
    }

    void act(const server_action& todo) {
        if (const auto* check = std::get_if<check_recipient>(&todo)) {
            std::string asked =
                check->vrfy ? "A: verify " + std::string(check->address)
                            : "A: check " + std::string(check->address) + " from " + std::string(check->from);
            if (check->mechanism != "none" || !check->id.empty())
                asked += " by " + std::string(check->id) + " with " + std::string(check->mechanism);
            record.push_back(std::move(asked));
            engine_.recipient_checked(verdict_for(check->address));
        } else if (const auto* password = std::get_if<check_password>(&todo)) {
            record.push_back("A: password of " + base::printable(password->asked.id));
            if (password->asked.id == "later")
                engine_.password_checked(std::nullopt);
            else
                engine_.password_checked(password->asked.password.view() == "right"
                                             ? sasl::passed(password->asked)
                                             : sasl::failed(password->asked));
        } else if (const auto* work = std::get_if<compute>(&todo)) {
            work->job();
            engine_.computed();
        } else if (const auto* wait = std::get_if<wait_a_while>(&todo)) {
            record.push_back("A: wait " + std::to_string(wait->time.count()));
            engine_.waited();
        } else if (std::holds_alternative<start_tls>(todo)) {
            record.push_back("A: start tls");
            in_handshake = true;
        } else if (std::holds_alternative<begin_message>(todo)) {
            record.push_back("A: begin");
        } else if (std::holds_alternative<open_content>(todo)) {
            record.push_back("A: open");
            content.clear();
            engine_.content_opened(
                {.year = 2026, .month = 11, .day = 1, .hour = 5, .minute = 17, .second = 47, .weekday = 0});
        } else if (const auto* piece = std::get_if<append_content>(&todo)) {
            content.append(piece->bytes.data(), piece->bytes.size());
        } else if (const auto* commit = std::get_if<commit_message>(&todo)) {
            record.push_back("A: content " + base::printable(content));
            record.push_back("A: commit");
            envelopes.push_back(*commit->envelope);
            contents.push_back(std::exchange(content, {}));
            commit_outcome outcome;
            if (!outcomes.empty()) {
                outcome = outcomes.front();
                outcomes.pop_front();
            }
            engine_.message_committed(outcome);
        } else if (std::holds_alternative<discard_message>(todo)) {
            record.push_back("A: discard");
            content.clear();
        } else if (const auto* close = std::get_if<close_session>(&todo)) {
            record.push_back((close->abort ? "A: abort: " : "A: close: ") + std::string(close->reason));
            closed = true;
        }
    }

    server_engine engine_;
};

} // namespace smtp::testing
