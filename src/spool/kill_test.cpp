// The process is killed before every single operation; the machine goes on, and so do other processes.
#include "spool/mailbox.hpp"
#include "spool/spool_test.hpp"
#include "spool/test_filesystem.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <map>

namespace spool {

using namespace test;

namespace {

using names = std::set<std::string>;

settings quiet() {
    settings s;
    s.checkpoint = std::chrono::hours(1);
    return s;
}

// Lines that the child has got out before its end.
class child_report {
public:
    explicit child_report(int fd) : fd_(fd) {}
    void say(const std::string& line) { (void)!::write(fd_, (line + "\n").data(), line.size() + 1); }

private:
    int fd_;
};

// Runs `work` in a child that is killed before its n-th file operation, or at its end. Gives what it
// reported; `killed` says whether the operation came.
// `first` is done here before the child does anything (a process with threads cannot be forked with tsan).
template <class Work>
std::vector<std::string> run_and_kill(
    const std::string& path, std::size_t n, settings config, bool& killed, Work work,
    const std::function<void()>& first = [] {}) {
    int ends[2], go[2];
    EXPECT_EQ(::pipe(ends), 0);
    EXPECT_EQ(::pipe(go), 0);
    pid_t child = ::fork();
    if (child == 0) {
        ::close(ends[0]);
        ::close(go[1]);
        char wait;
        (void)!::read(go[0], &wait, 1);
        child_report report(ends[1]);
        test_filesystem files;
        auto s = std::make_unique<opened_store>(path, config, &files);
        files.die_at(n);
        work(**s, report);
        report.say("end");
        ::kill(::getpid(), SIGKILL); // no orderly close
    }
    ::close(ends[1]);
    ::close(go[0]);
    first();
    ::close(go[1]);
    std::string text;
    char buffer[4096];
    for (ssize_t got; (got = ::read(ends[0], buffer, sizeof buffer)) > 0;)
        text.append(buffer, static_cast<std::size_t>(got));
    ::close(ends[0]);
    ::waitpid(child, nullptr, 0);
    std::vector<std::string> lines;
    for (std::size_t at = 0, end; (end = text.find('\n', at)) != std::string::npos; at = end + 1)
        lines.push_back(text.substr(at, end - at));
    killed = lines.empty() || lines.back() != "end";
    return lines;
}

std::string put(store& s, child_report& report, std::size_t size, char letter) {
    new_message message = s.create();
    std::string id = message.id();
    std::string content(size, letter);
    for (std::size_t at = 0; at < size; at += 40'000) {
        message.append(std::span<const char>(content).subspan(at, std::min<std::size_t>(40'000, size - at)));
        if (message.needs_write())
            message.write();
    }
    if (commit_and_wait(s, std::move(message), envelope_to("x@y")).has_value())
        report.say("stored " + id + " " + std::to_string(size) + " " + letter);
    return id;
}

struct stored {
    std::string content;
    bool finish_begun = false;
};

std::map<std::string, stored> stored_messages(const std::vector<std::string>& lines) {
    std::map<std::string, stored> out;
    for (const std::string& line : lines) {
        if (line.starts_with("stored ")) {
            std::size_t end = line.find(' ', 7);
            out[line.substr(7, end - 7)].content = std::string(std::stoul(line.substr(end + 1)), line.back());
        } else if (line.starts_with("finish ")) {
            out[line.substr(7)].finish_begun = true;
        }
    }
    return out;
}

// Only whole messages are there, in one of the two states of rest, and all that were promised.
void check(const temporary_directory& dir, opened_store& s, const std::vector<std::string>& lines) {
    auto ready = *ready_ids(*s);
    auto bad = *s->failed();
    names expected;
    for (const std::string& id : ready)
        expected.insert({id + ".envelope", id + ".content"});
    for (const std::string& id : bad)
        expected.insert({id + ".envelope.bad", id + ".content"});
    for (const std::string& id : *s->list(message_state::held))
        expected.insert({id + ".envelope.held", id + ".content"});
    EXPECT_EQ(dir.names(), expected);
    auto promised = stored_messages(lines);
    for (const auto& [id, m] : promised) {
        if (!m.finish_begun) {
            EXPECT_TRUE(dir.has(id + ".content")) << id << " is lost";
        }
        if (dir.has(id + ".content")) {
            EXPECT_TRUE(dir.read(id + ".content") == m.content) << id << " is damaged";
        }
    }
    for (const std::string& id : ready) {
        EXPECT_TRUE(mail::parse_envelope(dir.read(id + ".envelope")).has_value());
    }
}

template <class Work>
void kill_everywhere(Work work, settings config = quiet()) {
    bool killed = true;
    for (std::size_t n = 0; killed; ++n) {
        SCOPED_TRACE("operation " + std::to_string(n));
        temporary_directory dir;
        auto lines = run_and_kill(dir.path(), n, config, killed, work);
        {
            opened_store s(dir.path());
            check(dir, s, lines);
        }
        EXPECT_EQ(dir.hidden_names(), names{});
        ASSERT_LT(n, 1000u);
        if (::testing::Test::HasFailure())
            return;
    }
}

} // namespace

TEST(kill, during_commits) {
    kill_everywhere([](store& s, child_report& report) {
        put(s, report, 10, 'a');
        put(s, report, 100'000, 'b');
        put(s, report, 300'000, 'c');
        put(s, report, 20, 'd');
    });
}

TEST(kill, during_reception) {
    kill_everywhere([](store& s, child_report& report) {
        put(s, report, 10, 'a');
        new_message unfinished = s.create(), discarded = s.create();
        for (new_message* m : {&unfinished, &discarded}) {
            m->append(std::string(100'000, 'x'));
            m->write();
        }
        s.discard(std::move(discarded));
        put(s, report, 20, 'b');
        report.say("end");
        ::kill(::getpid(), SIGKILL); // `unfinished` is not destroyed in an orderly way
    });
}

// What the last step stands for comes when all the others are there.
TEST(kill, during_splitting) {
    bool killed = true;
    for (std::size_t n = 0; killed; ++n) {
        SCOPED_TRACE("operation " + std::to_string(n));
        temporary_directory dir;
        auto lines = run_and_kill(dir.path(), n, quiet(), killed, [](store& s, child_report& report) {
            (void)split_in_four(s, put(s, report, 300'000, 'a'));
        });
        opened_store s(dir.path());
        if (std::filesystem::remove(dir / "last")) {
            EXPECT_EQ(ready_ids(*s)->size(), 4u);
        }
        check(dir, s, lines);
        ASSERT_LT(n, 200u);
        if (::testing::Test::HasFailure())
            return;
    }
}

TEST(kill, during_forwarding) {
    kill_everywhere([](store& s, child_report& report) {
        std::string a = put(s, report, 10, 'a'), b = put(s, report, 300'000, 'b'),
                    c = put(s, report, 20, 'c'), d = put(s, report, 30, 'd'), e = put(s, report, 40, 'e');
        s.announce(std::vector{a, b, c});
        auto message = s.claim(a);
        report.say("finish " + a);
        (void)s.finish(std::move(*message));
        message = s.claim(b);
        report.say("finish " + b);
        (void)s.finish(std::move(*message));
        (void)s.fail(std::move(*s.claim(c)), "no", 550);
        (void)s.fail_partly(std::move(*s.claim(d)), {"x@y"}, "some", std::nullopt);
        auto held = s.claim(e);
        report.say("end");
        ::kill(::getpid(), SIGKILL);
    });
}

// Each step is done or not; a message is there once, and what was answered stays.
TEST(kill, during_administration) {
    bool killed = true;
    for (std::size_t n = 0; killed; ++n) {
        SCOPED_TRACE("operation " + std::to_string(n));
        temporary_directory dir;
        auto lines = run_and_kill(dir.path(), n, quiet(), killed, [](store& s, child_report& report) {
            std::string a = put(s, report, 10, 'a'), b = put(s, report, 300'000, 'b'),
                        c = put(s, report, 20, 'c'), d = put(s, report, 30, 'd');
            auto step = [&](const std::string& to, const std::string& id, auto work) {
                if (to == "gone")
                    report.say("finish " + id);
                report.say("going " + id + " " + to);
                work();
                report.say("gone " + id + " " + to);
            };
            step("held", a, [&] { (void)s.hold(a); });
            step("held", b, [&] { (void)s.hold(b); });
            step("bad", c, [&] { (void)s.fail(std::move(*s.claim(c)), "no", 550); });
            step("ready", c, [&] { (void)s.unfail(c); });
            step("ready", b, [&] { (void)s.let_go(b); });
            step("gone", b, [&] { (void)s.remove(b); });
            step("gone", d, [&] { (void)mailbox(s).remove({d}); });
            step("gone", c, [&] { (void)s.remove(c); });
        });
        opened_store s(dir.path());
        check(dir, s, lines);
        std::map<std::string, std::set<std::string>> possible;
        for (const std::string& line : lines) {
            std::size_t id = line.find(' ') + 1, state = line.find(' ', id);
            if (line.starts_with("stored "))
                possible[line.substr(id, state - id)] = {"ready"};
            else if (line.starts_with("going "))
                possible[line.substr(id, state - id)].insert(line.substr(state + 1));
            else if (line.starts_with("gone "))
                possible[line.substr(id, state - id)] = {line.substr(state + 1)};
        }
        for (auto& [id, states] : possible) {
            if (states.contains("bad"))
                states.insert("ready"); // a claim that was cut off
            std::string now = dir.has(id + ".envelope")        ? "ready"
                              : dir.has(id + ".envelope.held") ? "held"
                              : dir.has(id + ".envelope.bad")  ? "bad"
                                                               : "gone";
            EXPECT_TRUE(states.contains(now)) << id << " is " << now;
        }
        ASSERT_LT(n, 1000u);
        if (::testing::Test::HasFailure())
            return;
    }
}

TEST(kill, without_flushes) {
    settings config = quiet();
    config.sync = false;
    // Files of a message that was not accepted may stay in this mode; claims must be released.
    temporary_directory dir;
    bool killed = false;
    run_and_kill(dir.path(), 1'000'000, config, killed, [](store& s, child_report& report) {
        std::string a = put(s, report, 10, 'a');
        auto held = s.claim(a);
        report.say("end");
        ::kill(::getpid(), SIGKILL);
    });
    EXPECT_EQ(dir.names().size(), 2u);
    opened_store s(dir.path(), config);
    EXPECT_EQ(ready_ids(*s)->size(), 1u);
    EXPECT_TRUE(s.log.has("warning: unlocking [emailrelay."));
}

// A claim outlives many segments of the journal.
TEST(kill, long_after_a_claim) {
    settings config;
    config.checkpoint = std::chrono::milliseconds(1);
    config.journal_segment = 16 << 10;
    config.journal_size = 64 << 10;
    temporary_directory dir;
    bool killed = false;
    auto lines = run_and_kill(dir.path(), 1'000'000, config, killed, [](store& s, child_report& report) {
        std::string a = put(s, report, 10, 'a');
        auto held = s.claim(a);
        new_message unfinished = s.create();
        unfinished.append(std::string(100'000, 'x'));
        unfinished.write();
        for (int i = 0; i < 100; ++i) {
            std::string id = put(s, report, 3000, 'b');
            auto taken = s.claim(id);
            report.say("finish " + id);
            (void)s.finish(std::move(*taken));
        }
        report.say("end");
        ::kill(::getpid(), SIGKILL);
    });
    ASSERT_EQ(lines.back(), "end");
    opened_store s(dir.path());
    check(dir, s, lines);
    EXPECT_EQ(ready_ids(*s)->size(), 1u);
}

// What could not be unlocked is unlocked by the next process.
TEST(kill, a_claim_that_cannot_be_undone_is_remembered) {
    temporary_directory dir;
    test_filesystem files;
    std::string id;
    {
        opened_store s(dir.path(), quiet(), &files);
        id = store_message(*s, "hello");
        auto taken = s->claim(id);
        files.fail_kind("rename", EIO);
        EXPECT_TRUE(s->release(std::move(*taken)).has_error());
        files.stop_failing();
        EXPECT_TRUE(dir.has(id + ".envelope.busy"));
    }
    opened_store s(dir.path());
    EXPECT_EQ(*ready_ids(*s), std::vector<std::string>{id});
}

// A living process takes over what a dead one left, when it next looks.
// Announced and not yet taken: where its envelope has gone meanwhile the content is needed. One whose
// envelope has been deleted is not.
TEST(kill, leaves_the_content_of_an_envelope_that_was_put_elsewhere) {
    temporary_directory dir;
    std::filesystem::create_directory(dir / "alice");
    std::filesystem::create_directory(dir / "bob");
    bool killed = false;
    auto lines = run_and_kill(dir.path(), 1'000'000, quiet(), killed, [&](store& s, child_report& report) {
        std::vector<std::string> ids;
        for (char letter : {'a', 'b', 'c', 'd'})
            ids.push_back(put(s, report, 10, letter));
        s.announce(ids);
        auto envelope = [&](std::size_t n) {
            return ids[n] + ".envelope";
        };
        std::filesystem::rename(dir / envelope(0), dir / (envelope(0) + ".parked"));
        std::filesystem::rename(dir / envelope(1), dir / ("alice/" + envelope(1)));
        std::filesystem::rename(dir / envelope(2), dir / ("bob/" + envelope(2) + ".read"));
        std::filesystem::remove(dir / envelope(3));
    });
    std::string contents;
    { opened_store s(dir.path()); }
    for (const auto& [id, m] : stored_messages(lines))
        if (dir.has(id + ".content"))
            contents += m.content.front();
    EXPECT_EQ(contents, "abc");
}

TEST(kill, is_noticed_at_a_rescan) {
    temporary_directory dir;
    std::optional<opened_store> living;
    bool killed = false;
    run_and_kill(
        dir.path(), 1'000'000, quiet(), killed,
        [](store& s, child_report& report) {
            std::string a = put(s, report, 10, 'a');
            auto held = s.claim(a);
            report.say("end");
            ::kill(::getpid(), SIGKILL);
        },
        [&] {
            living.emplace(dir.path());
            EXPECT_EQ(ready_ids(**living)->size(), 0u);
        });
    EXPECT_EQ(ready_ids(**living)->size(), 1u);
}

// What other programs did is left as it is.
TEST(kill, does_not_concern_files_of_others) {
    temporary_directory dir;
    std::string text = mail::format_envelope(envelope_to("x@y"));
    for (const char* name : {"foreign.envelope.busy", "emailrelay.1.1.1.envelope.busy",
                             "emailrelay.1.1.2.envelope.new", "emailrelay.1.1.3.envelope.busy.tmp"})
        dir.write(name, text);
    for (const char* name :
         {"foreign.content", "emailrelay.1.1.1.content", "emailrelay.1.1.2.content", "orphan.content"})
        dir.write(name, "x");
    names before = dir.names();
    std::string removed;
    bool killed = false;
    auto lines = run_and_kill(dir.path(), 1'000'000, quiet(), killed, [](store& s, child_report& report) {
        put(s, report, 10, 'a');
        put(s, report, 10, 'b');
    });
    auto messages = stored_messages(lines);
    ASSERT_EQ(messages.size(), 2u);
    std::string first = messages.begin()->first, second = messages.rbegin()->first;
    for (const char* suffix : {".envelope", ".content"}) // removed on purpose
        std::filesystem::remove(dir / (first + suffix));
    dir.write(second + ".envelope", text + "edited\r\n");
    dir.write(second + ".content", "other and longer");
    opened_store s(dir.path());
    EXPECT_EQ(*ready_ids(*s), std::vector<std::string>{second});
    EXPECT_EQ(dir.read(second + ".envelope"), text + "edited\r\n");
    EXPECT_EQ(dir.read(second + ".content"), "other and longer");
    before.insert({second + ".envelope", second + ".content"});
    EXPECT_EQ(dir.names(), before);
}

} // namespace spool
