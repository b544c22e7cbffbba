// Conversations for every row of spec/smtp-server.md sections 1 to 5, 7 and 8.
//
// A conversation is written down with what each side does: "C: " a line from the client (CR-LF is added), "R:
// " raw octets from it, "S: " a reply line, "A: " an action. play() has it in step first, then with all input
// at once, octet by octet, and cut in two at every place: the record must be the same each time.
#include "smtp/server_engine.hpp"

#include "smtp/server_recorder_test.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

using namespace std::string_literals;
using smtp::testing::server_recorder;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

namespace {

using lines = std::vector<std::string>;

lines operator+(lines a, const lines& b) {
    a.insert(a.end(), b.begin(), b.end());
    return a;
}

lines operator*(int times, const lines& a) {
    lines out;
    for (; times > 0; --times)
        out = std::move(out) + a;
    return out;
}

class server_engine : public ::testing::Test {
protected:
    server_engine() {
        settings.domain = "test.example.com";
        settings.version = "2.6.1";
        settings.anonymous_content = true; // the Received line has tests of its own
    }

    std::unique_ptr<server_recorder> recorder() const {
        auto r = std::make_unique<server_recorder>(settings, peer, available);
        r->outcomes = outcomes;
        return r;
    }

    static std::string sent_by(const std::string& line) {
        if (line.starts_with("C: "))
            return line.substr(3) + "\r\n";
        return line.starts_with("R: ") ? line.substr(3) : "";
    }

    // Checks the conversation in all ways and leaves the one in step in `last`.
    void play(const lines& conversation) {
        lines expected;
        std::string input;
        for (const std::string& line : conversation) {
            if (sent_by(line).empty())
                expected.push_back(line);
            input += sent_by(line);
        }

        auto in_step = recorder();
        std::size_t reached = 0;
        for (const std::string& line : conversation) {
            if (!sent_by(line).empty()) {
                ASSERT_EQ(in_step->record.size(), reached) << "more than expected before " << line;
                in_step->feed(sent_by(line));
            } else {
                ASSERT_LT(reached, in_step->record.size()) << "nothing where expected: " << line;
                ASSERT_EQ(in_step->record[reached++], line);
            }
        }
        ASSERT_EQ(in_step->record, expected);

        expect_same(*in_step, {input});
        lines octets;
        for (char c : input)
            octets.emplace_back(1, c);
        expect_same(*in_step, octets);
        for (std::size_t at = 1; at < input.size() && !HasFailure(); ++at)
            expect_same(*in_step, {input.substr(0, at), input.substr(at)});
        last = std::move(in_step);
    }

    void expect_same(const server_recorder& reference, const lines& pieces) {
        const auto other = recorder();
        for (const std::string& piece : pieces)
            other->feed(piece);
        ASSERT_EQ(other->record, reference.record) << "cut behind " << pieces.front().size();
        ASSERT_EQ(other->envelopes, reference.envelopes);
        ASSERT_EQ(other->contents, reference.contents);
        ASSERT_EQ(other->log.lines, reference.log.lines);
    }

    lines greeting() const { return {"S: 220 test.example.com -- E-MailRelay V2.6.1 -- Service ready"}; }
    lines hello() const { return greeting() + lines{"C: HELO client", "S: 250 hello"}; }
    lines sender() const {
        return hello() + lines{"C: MAIL FROM:<a@b>", "S: 250 sender <a@b> OK", "A: begin"};
    }
    lines recipient() const {
        return sender() + lines{"C: RCPT TO:<x@y>", "A: check x@y from a@b", "S: 250 recipient <x@y> OK"};
    }
    lines data() const {
        return recipient() + lines{"C: DATA", "A: open", "S: 354 start mail input -- end with <CRLF>.<CRLF>"};
    }
    lines processed(const std::string& content) const {
        return {"A: content " + content, "A: commit", "S: 250 message processed"};
    }

    smtp::server_settings settings;
    smtp::peer_info peer{"192.0.2.1", false};
    bool available = true;
    std::deque<smtp::commit_outcome> outcomes;
    std::unique_ptr<server_recorder> last;
};

const lines unrecognized{"S: 500 command unrecognized"};
const lines sequence{"S: 503 command out of sequence -- use RSET to resynchronise"};
const lines too_many_errors{"A: close: too many protocol errors from the client"};

} // namespace

// ---- section 1 and 8: greeting

TEST_F(server_engine, greets) {
    play(greeting());
}

TEST_F(server_engine, greets_anonymously) {
    settings.anonymous_server = true;
    play({"S: 220 greeting", "C: EHLO x", "S: 250-smtp says hello", "S: 250-VRFY", "S: 250-PIPELINING",
          "S: 250 8BITMIME"});
}

TEST_F(server_engine, one_message) {
    play(data() + lines{"C: Subject: x", "C: ", "C: hello", "C: ."} +
         processed("Subject: x\\r\\n\\r\\nhello\\r\\n") +
         lines{"C: QUIT", "S: 221 OK", "A: close: smtp protocol done"});
}
