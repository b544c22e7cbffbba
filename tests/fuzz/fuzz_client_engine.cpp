// The client engine against a hostile server.
//
// Input: parts separated by 0x1f. The first holds option letters: p pipelining, a each message begins behind
// the one before, s forward to some, b binarymime content, m for the second message alone, 8 8-bit content, u
// UTF-8 mailboxes, l lenient.
// Then content, reverse-path, and what the server does in its turns: an empty part closes, a part 0x1e is
// silence, anything else is sent.
//
// Oracles: however a turn is split, the same is done; nothing is reported sent without a 2xx behind the end
// of its data; what is written has no bare CR or LF, ends where it should and carries the content.
#include "smtp/client_engine.hpp"
#include "support.hpp"

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace {

class line_sink : public base::log_sink {
public:
    bool wants(base::severity, base::detail) const noexcept override { return true; }
    void write(base::severity, const base::log_context&, std::string_view text) override {
        require(std::ranges::all_of(text, [](char c) { return static_cast<unsigned char>(c) >= 0x20; }),
                "control character in the log");
    }
};

struct script {
    std::string options;
    std::string content;
    std::string from;
    std::vector<std::string> turns;

    explicit script(std::string_view data) {
        std::vector<std::string> parts;
        for (std::size_t at = 0; at <= data.size();) {
            const std::size_t end = std::min(data.find('\x1f', at), data.size());
            parts.emplace_back(data.substr(at, end - at));
            at = end + 1;
        }
        parts.resize(std::max<std::size_t>(parts.size(), 3));
        options = parts[0];
        content = parts[1];
        from = parts[2];
        turns.assign(parts.begin() + 3, parts.end());
    }
    bool has(char option) const { return options.find(option) != std::string::npos; }
};

// CR, LF and CR-LF each as LF, and one at the end.
std::string normal(std::string_view content) {
    std::string lines;
    for (std::size_t i = 0; i < content.size(); ++i)
        if (content[i] != '\n' || i == 0 || content[i - 1] != '\r')
            lines += content[i] == '\r' ? '\n' : content[i];
    if (!lines.empty() && lines.back() != '\n')
        lines += '\n';
    return lines;
}

// Reads what the client writes as a server would, and knows where a message ends.
class wire {
public:
    explicit wire(const std::string& content) : raw_(content), normal_(normal(content)) {}

    void take(std::string_view bytes) {
        input_ += bytes;
        while (step()) {
        }
    }

    void content_follows() { in_data_ = after_data_; }

    bool content_complete = false; // the end of the data has been written, and nothing since
    int contents = 0;              // written to their end

private:
    bool step() {
        if (chunk_) {
            if (input_.size() < *chunk_)
                return false;
            got_ += input_.substr(0, *chunk_);
            input_.erase(0, *chunk_);
            chunk_.reset();
            if (last_)
                end_of_content(got_ == raw_);
            return true;
        }
        const std::size_t end = input_.find("\r\n");
        if (end == std::string::npos) {
            require(in_data_ || input_.empty(), "half a command");
            return false;
        }
        const std::string line = input_.substr(0, end);
        input_.erase(0, end + 2);
        require(line.find_first_of("\r\n") == std::string::npos, "bare CR or LF");
        if (!in_data_) {
            command(line);
        } else if (line == ".") {
            in_data_ = false;
            end_of_content(got_ == normal_);
        } else {
            got_ += line.substr(line.starts_with('.') ? 1 : 0) + "\n";
        }
        return true;
    }

    void command(const std::string& line) {
        require(!content_complete || line.starts_with("MAIL ") || line == "RSET" || line == "QUIT",
                "odd command behind a message");
        content_complete = false;
        if (line.starts_with("MAIL "))
            got_.clear();
        after_data_ = line == "DATA";
        if (!line.starts_with("BDAT "))
            return;
        chunk_ = std::stoul(line.substr(5));
        last_ = line.ends_with(" LAST");
    }

    void end_of_content(bool same) {
        require(same, "content is not what was to be sent");
        require(input_.empty() || input_.starts_with("MAIL "), "something behind the end of the data");
        content_complete = true;
        ++contents;
    }

    const std::string& raw_;
    std::string normal_;
    std::string input_;
    std::string got_;
    bool after_data_ = false;
    bool in_data_ = false;
    std::optional<std::size_t> chunk_;
    bool last_ = false;
};

bool has_success(std::string_view replies) {
    for (std::size_t at = 0; at < replies.size(); at = replies.find('\n', at) + 1) {
        if (replies[at] == '2')
            return true;
        if (replies.find('\n', at) == std::string_view::npos)
            break;
    }
    return false;
}

struct trace {
    std::string text;
    bool went_on_early = false; // before a turn was delivered whole: what follows depends on the split
};

trace play(const script& s, std::size_t piece) {
    smtp::client_settings settings;
    settings.helo_name = "me.example";
    settings.pipelining = s.has('p');
    settings.forward_to_some = s.has('s');
    settings.smtputf8_strict = settings.binarymime_strict = settings.eightbit_strict = !s.has('l');
    settings.max_reply_line = 256;
    settings.max_reply_lines = 8;

    mail::envelope envelope;
    envelope.from = s.from;
    envelope.to_remote = {"a@x", "b@x", "c@x"};
    envelope.utf8_mailboxes = s.has('u');
    if (s.has('8'))
        envelope.content = mail::body_type::eight_bit;
    if (s.has('b'))
        envelope.content = mail::body_type::binary_mime;

    mail::envelope second = envelope;
    if (s.has('m'))
        second.content = mail::body_type::binary_mime;

    line_sink sink;
    smtp::client_engine engine(settings, base::logger(sink));
    wire peer(s.content);
    trace out;
    std::string replies; // since the end of the data
    std::string_view unsent;
    std::size_t turn = 0;
    int messages = 0;
    int told = 0;
    bool next_has_begun = false;
    std::string_view unread; // of the turn
    const auto write = [&] {
        const std::string bytes = engine.take_output();
        out.text += "write " + bytes + "\n";
        peer.take(bytes);
    };
    const auto send = [&] {
        unsent = s.content;
        engine.send(messages++ == 0 ? envelope : second, s.content.size());
    };
    for (int steps = 0; steps < 100'000; ++steps) {
        const smtp::client_action action = engine.next();
        const bool reads = std::holds_alternative<smtp::read_reply>(action) && !engine.has_output();
        if (!unread.empty() && !reads && !std::holds_alternative<smtp::message_done>(action)) {
            out.went_on_early = true;
            return out;
        }
        if (const auto* wait = std::get_if<smtp::read_reply>(&action)) {
            if (!unread.empty()) {
                const std::string part(
                    unread.substr(0, piece)); // on its own, so that reading past it is seen
                unread.remove_prefix(part.size());
                engine.feed(part);
                continue;
            }
            if (engine.has_output()) {
                write();
                replies.clear();
            }
            out.text += wait->limit == smtp::read_reply::wait::greeting ? "greeting\n" : "reply\n";
            if (turn == s.turns.size() || s.turns[turn].empty()) {
                engine.disconnected({});
                continue;
            }
            unread = s.turns[turn++];
            if (unread == "\x1e") {
                unread = {};
                engine.timed_out(7);
            }
            replies += unread;
        } else if (std::holds_alternative<smtp::session_ready>(action)) {
            out.text += "ready\n";
            if (messages == 2)
                engine.quit();
            else
                send();
        } else if (const auto* want = std::get_if<smtp::read_content>(&action)) {
            const std::string part(unsent.substr(0, std::min(want->at_most, piece)));
            unsent.remove_prefix(part.size());
            peer.content_follows();
            engine.content(part, unsent.empty());
            if (s.has('a') && unsent.empty() && messages < 2)
                next_has_begun = engine.follow(second, s.content.size());
        } else if (const auto* done = std::get_if<smtp::message_done>(&action)) {
            using result = smtp::message_done::result;
            const bool sent = done->what == result::sent || done->what == result::sent_to_some;
            told += sent ? 1 : 0;
            require(!sent || (peer.content_complete != next_has_begun && has_success(replies)),
                    "reported sent, but it is not");
            require(told <= peer.contents, "more reported sent than were written");
            require((done->what == result::sent_to_some) == !done->refused.empty(), "refused recipients");
            const bool refused = done->what == result::refused || done->what == result::recipients_refused;
            require(refused == done->code.has_value(), "reply code");
            out.text += "done " + std::to_string(static_cast<int>(done->what)) + " " +
                        std::to_string(done->code.value_or(0)) + " " + done->reason + "\n";
            if (std::exchange(next_has_begun, false))
                send();
        } else if (const auto* failed = std::get_if<smtp::session_failed>(&action)) {
            require(!engine.has_output(), "output behind a failure");
            out.text += (failed->message_in_hand ? "failed in hand " : "failed ") + failed->reason + "\n";
            return out;
        } else {
            write();
            out.text += "over\n";
            return out;
        }
    }
    require(false, "does not end");
    return out;
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
    const script s(std::string_view(reinterpret_cast<const char*>(data), size));
    const trace whole = play(s, std::string::npos);
    for (const std::size_t piece : {std::size_t(1), std::size_t(3), 7 + size % 50}) {
        const trace split = play(s, piece);
        require(split.went_on_early ? whole.text.starts_with(split.text) : whole.text == split.text,
                "depends on how the input is split");
    }
    return 0;
}
