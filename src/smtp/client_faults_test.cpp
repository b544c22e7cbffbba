// The client engine against a server that understands what it is told, and misbehaves at every step in every
// way: what is reported must be what happened, and nothing is said to be sent that the server has not taken.
#include "smtp/client_engine.hpp"

#include "smtp/client_dialogue_test.hpp"

#include <gtest/gtest.h>

#include <fmt/format.h>

#include <functional>
#include <map>
#include <optional>

namespace {

using namespace smtp::testing;
using smtp::client_engine;
using strings = std::vector<std::string>;

enum class step_kind { greeting, ehlo, mail, rcpt, data, content, chunk, rset, quit };

// Speaks SMTP, answers well but for one step, and knows what it has accepted.
class server {
public:
    struct fault {
        std::size_t step;
        turn what;
    };

    server(std::string keywords, std::optional<fault> f)
        : keywords_(std::move(keywords)), fault_(std::move(f)) {}

    turn operator()(const std::string& said) {
        input_ += said;
        turn answer;
        if (!greeted_) {
            greeted_ = true;
            add(answer, step_kind::greeting, "220 them.example");
        }
        while (answer.what == turn::kind::replies && take(answer)) {
        }
        return answer;
    }

    std::vector<step_kind> steps;
    strings accepted;   // contents that were answered by 2xx
    strings complaints; // what a client must not do

private:
    bool take(turn& answer) {
        if (chunk_) {
            if (input_.size() < *chunk_)
                return false;
            content_ += input_.substr(0, *chunk_);
            input_.erase(0, *chunk_);
            chunk_.reset();
            if (add(answer, last_ ? step_kind::content : step_kind::chunk, "250 ok") && last_)
                accepted.push_back(content_);
            return true;
        }
        const std::size_t end = input_.find("\r\n");
        if (end == std::string::npos) {
            if (!input_.empty())
                complaints.push_back("unfinished: " + input_);
            return false;
        }
        std::string line = input_.substr(0, end);
        input_.erase(0, end + 2);
        if (line.find_first_of("\r\n") != std::string::npos)
            complaints.push_back("bare CR or LF");
        if (in_data_)
            data_line(answer, line);
        else
            command(answer, line);
        return true;
    }

    void data_line(turn& answer, std::string line) {
        if (line == ".") {
            in_data_ = false;
            in_mail_ = false;
            if (!input_.empty() && !input_.starts_with("MAIL "))
                complaints.push_back("pipelined behind the data: " + input_);
            if (add(answer, step_kind::content, "250 taken"))
                accepted.push_back(content_);
            return;
        }
        content_ += line.substr(line.starts_with('.') ? 1 : 0) + "\n";
    }

    void command(turn& answer, const std::string& line) {
        const std::string verb = line.substr(0, line.find(' '));
        if (verb == "EHLO") {
            add(answer, step_kind::ehlo, "250-them.example\r\n" + keywords_);
        } else if (verb == "HELO") {
            add(answer, step_kind::ehlo, "250 them.example");
        } else if (verb == "MAIL") {
            if (in_mail_)
                complaints.push_back("MAIL within a transaction");
            recipients_ = 0;
            content_.clear();
            in_mail_ = add(answer, step_kind::mail, "250 ok");
        } else if (verb == "RCPT") {
            if (!in_mail_)
                add(answer, step_kind::rcpt, "503 MAIL first");
            else
                recipients_ += add(answer, step_kind::rcpt, "250 ok") ? 1 : 0;
        } else if (verb == "DATA") {
            if (recipients_ == 0)
                complaints.push_back("DATA without recipients");
            in_data_ = add(answer, step_kind::data, "354 go");
        } else if (verb == "BDAT") {
            last_ = line.ends_with(" LAST");
            chunk_ = std::stoul(line.substr(5));
            in_mail_ = !last_;
        } else if (verb == "RSET") {
            in_mail_ = false;
            add(answer, step_kind::rset, "250 ok");
        } else if (verb == "QUIT") {
            add(answer, step_kind::quit, "221 bye");
        } else {
            complaints.push_back("unknown: " + line);
        }
    }

    // True when the answer was a good one.
    bool add(turn& answer, step_kind kind, const std::string& good) {
        const std::size_t step = steps.size();
        steps.push_back(kind);
        if (answer.what != turn::kind::replies)
            return false;
        if (!fault_ || fault_->step != step) {
            answer.text += good + "\r\n";
            return good[0] < '4';
        }
        answer.what = fault_->what.what;
        answer.text += fault_->what.text;
        return answer.what == turn::kind::replies && fault_->what.text[0] >= '1' &&
               fault_->what.text[0] < '4';
    }

    std::string keywords_;
    std::optional<fault> fault_;
    std::string input_;
    bool greeted_ = false;
    bool in_mail_ = false;
    bool in_data_ = false;
    bool last_ = false;
    std::optional<std::size_t> chunk_;
    std::size_t recipients_ = 0;
    std::string content_;
};

struct fault_kind {
    const char* name;
    turn what;
};

const fault_kind fault_kinds[] = {
    {"close", {turn::kind::closes, {}}},
    {"half a reply, then close", {turn::kind::closes, "250-x\r\n250"}},
    {"silence", {turn::kind::stays_silent, {}}},
    {"rubbish", {turn::kind::replies, "hello\r\n"}},
    {"codes that differ", {turn::kind::replies, "250-x\r\n550 y\r\n"}},
    {"421", {turn::kind::replies, "421 bad\r\n"}},
    {"452", {turn::kind::replies, "452 bad\r\n"}},
    {"554", {turn::kind::replies, "554 bad\r\n"}},
};

struct way {
    const char* name;
    bool pipelining;
    bool to_some;
    bool binary;
    bool ahead = false;
};

const way ways[] = {{"plain", false, false, false},      {"to some", false, true, false},
                    {"pipelining", true, false, false},  {"pipelining to some", true, true, false},
                    {"binary", false, false, true},      {"binary, pipelining", true, false, true},
                    {"ahead", true, false, false, true}, {"ahead to some", true, true, false, true}};

// What two messages come to when this goes wrong at a step of this kind, while `before` messages are settled.
strings expected(step_kind kind, const fault_kind& fault, std::size_t before, const way& w) {
    const strings fine{"sent", "sent", "over"};
    if (kind == step_kind::quit)
        return fine;
    const bool in_hand = kind != step_kind::greeting && kind != step_kind::ehlo;
    strings events(fine.begin(), fine.begin() + static_cast<std::ptrdiff_t>(before));
    const bool begun_only = w.ahead && kind == step_kind::mail && before > 0;
    const auto session = [&](const std::string& why) {
        events.push_back((begun_only ? "session failed: " : "session failed with message: ") + why);
        return events;
    };
    const std::string text = fault.what.text;
    if (fault.what.what == turn::kind::closes)
        return session("peer disconnected");
    if (fault.what.what == turn::kind::stays_silent)
        return kind == step_kind::greeting ? fine : session("smtp error: response timeout after 7s");
    if (text == "hello\r\n" || text.starts_with("250-x"))
        return session("smtp error: invalid response");
    const std::string code = text.substr(0, 3);
    if (!in_hand || (begun_only && code == "421"))
        return session("smtp error: unexpected response: bad");
    if (code == "421") {
        events.push_back("refused 421: bad");
        events.emplace_back("session failed: smtp error: unexpected response: bad");
        return events;
    }
    if (kind == step_kind::rcpt && w.to_some)
        events.push_back(fmt::format("sent to some: one or more recipients rejected [x{}@b]", before));
    else
        events.push_back("refused " + code + ": " +
                         (kind == step_kind::rcpt ? "one or more recipients rejected" : "bad"));
    events.insert(events.end(), fine.begin() + static_cast<std::ptrdiff_t>(before) + 1, fine.end());
    return events;
}

// Only the first recipient of each message is made to fail here, so that forward-to-some knows the name.
TEST(faults, at_every_step) {
    for (const way& w : ways) {
        std::vector<letter> letters{a_letter("one\n.\n", {"x0@b", "y@b"}),
                                    a_letter("two\n", {"x1@b", "y@b"})};
        for (letter& l : letters)
            l.envelope.content = w.binary ? mail::body_type::binary_mime : mail::body_type::unknown;
        if (w.binary && !w.pipelining) // two chunks
            letters[0].content = some_octets(1'000'002);
        const std::string keywords = "250-PIPELINING\r\n250-BINARYMIME\r\n250 CHUNKING";
        for (const fault_kind& fault : fault_kinds) {
            for (std::size_t step = 0;; ++step) {
                recording_sink sink;
                client_engine engine(settings(w.pipelining, w.to_some), base::logger(sink));
                server peer(keywords, server::fault{step, fault.what});
                const strings events =
                    drive(engine, letters, std::ref(peer), std::string::npos, std::string::npos, w.ahead);
                const std::string where = fmt::format("{}: {} at step {}", w.name, fault.name, step);
                ASSERT_LT(step, 100U);
                if (step >= peer.steps.size()) {
                    EXPECT_EQ(events, (strings{"sent", "sent", "over"})) << where;
                    break;
                }
                EXPECT_EQ(peer.complaints, strings{}) << where;

                const auto upto = peer.steps.begin() + static_cast<std::ptrdiff_t>(step);
                const auto mails = std::count(peer.steps.begin(), upto + 1, step_kind::mail);
                const auto before = static_cast<std::size_t>(std::max<std::ptrdiff_t>(mails - 1, 0));
                const step_kind kind = peer.steps[step];
                const bool second_recipient = kind == step_kind::rcpt && *(upto - 1) == step_kind::rcpt;
                if (!(second_recipient && w.to_some)) {
                    EXPECT_EQ(events, expected(kind, fault, before, w)) << where;
                }
                const auto sent =
                    std::ranges::count_if(events, [](const std::string& e) { return e.starts_with("sent"); });
                EXPECT_GE(peer.accepted.size(), static_cast<std::size_t>(sent))
                    << where << ": reported sent, but it is not";
            }
        }
    }
}

// Two faults at once: whatever happens, no message is said to be sent that the server has not taken.
TEST(faults, pairs_of_odd_replies) {
    const std::string replies[] = {"250 x", "354 x", "220 x",          "421 x",  "450 x",
                                   "500 x", "554 x", "250-x\r\n250 x", "rubbish"};
    for (const way& w : {ways[0], ways[2], ways[6]})
        for (const std::string& one : replies)
            for (const std::string& two : replies)
                for (std::size_t a = 0; a < 12; ++a)
                    for (std::size_t b = a + 1; b < 13; ++b) {
                        std::map<std::size_t, std::string> odd{{a, crlf(one)}, {b, crlf(two)}};
                        recording_sink sink(false);
                        client_engine engine(settings(w.pipelining, true), base::logger(sink));
                        server peer("250 PIPELINING", std::nullopt);
                        std::size_t turns = 0;
                        std::size_t good_ends = 0;
                        const auto meddler = [&](const std::string& said) {
                            const std::size_t before = peer.steps.size();
                            turn answer = peer(said);
                            if (const auto found = odd.find(turns++); found != odd.end())
                                answer.text = found->second;
                            for (std::size_t i = before; i < peer.steps.size(); ++i)
                                good_ends +=
                                    peer.steps[i] == step_kind::content && answer.text.starts_with("2") ? 1
                                                                                                        : 0;
                            return answer;
                        };
                        const strings events = drive(
                            engine, {a_letter("one\n"), a_letter("two\n")},
                            [&](const std::string& said) {
                                turn answer = meddler(said);
                                if (answer.text.empty())
                                    answer.what = turn::kind::closes;
                                return answer;
                            },
                            std::string::npos, std::string::npos, w.ahead);
                        const auto sent = std::ranges::count_if(
                            events, [](const std::string& e) { return e.starts_with("sent"); });
                        ASSERT_LE(static_cast<std::size_t>(sent), good_ends)
                            << one << " at " << a << ", " << two << " at " << b;
                    }
}

} // namespace
