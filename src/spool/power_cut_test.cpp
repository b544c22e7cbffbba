// The power fails after every single operation: what was acknowledged is there again, whole, under its own
// name.
#include "spool/folder.hpp"
#include "spool/mailbox.hpp"
#include "spool/spool_test.hpp"
#include "spool/test_filesystem.hpp"

#include <atomic>
#include <map>
#include <thread>

namespace spool {

using namespace test;

namespace {

using keep = test_filesystem::keep;

struct known_message {
    std::string content;
    std::string recipient;
    std::size_t acknowledged = SIZE_MAX; // number of events at that time
    std::size_t finish_begun = SIZE_MAX;
    std::size_t finish_safe = SIZE_MAX; // a later commit has been acknowledged
    bool failed = false;                // was made `.bad` at some time
    std::size_t partly = SIZE_MAX;      // when it began to be reduced to its second recipient
    std::string edited;                 // by a client filter: an octet more
    std::size_t edit_begun = SIZE_MAX;
    std::size_t edit_safe = SIZE_MAX; // it is sent from here on

    bool may_have(const std::string& text, std::size_t events) const {
        if (events >= edit_safe)
            return text == edited;
        const bool half_made =
            events >= edit_begun && text.starts_with(content) && text.size() == edited.size();
        return text == content || half_made;
    }
};

using history = std::map<std::string, known_message>;

// Everything that a store does, with a record of what was promised when.
class workload {
public:
    workload(const std::string& path, settings config) : store_(path, std::move(config), &files) {}

    // With `second` it has two recipients.
    std::string put(std::size_t size, bool second = false) {
        new_message message = store_->create();
        std::string id = message.id();
        std::string content = id + "\r\n" + std::string(size, static_cast<char>('a' + ++puts_ % 26));
        known_message& known = messages[id];
        known.content = content;
        known.recipient = std::to_string(puts_) + "@example.com";
        message.append(content);
        if (message.needs_write())
            message.write();
        mail::envelope envelope = envelope_to(known.recipient);
        if (second)
            envelope.to_remote.push_back("second@example.com");
        auto outcome = commit_and_wait(*store_, std::move(message), envelope);
        EXPECT_TRUE(outcome.has_value());
        known.acknowledged = files.events();
        for (auto& [other, m] : messages)
            if (all_journalled && m.finish_begun != SIZE_MAX && other != id)
                m.finish_safe = std::min(m.finish_safe, files.events());
        return id;
    }
    void forward(const std::string& id) {
        auto taken = store_->claim(id);
        ASSERT_TRUE(taken.has_value());
        messages[id].finish_begun = files.events();
        ASSERT_TRUE(store_->finish(std::move(*taken)).has_value());
    }
    void give_back(const std::string& id) {
        ASSERT_TRUE(store_->release(std::move(*store_->claim(id))).has_value());
    }
    // As a client filter does, and the message goes back.
    void edit_and_give_back(const std::string& id) {
        auto taken = store_->claim(id);
        ASSERT_TRUE(taken.has_value());
        known_message& known = messages[id];
        known.edited = known.content + "#";
        known.edit_begun = files.events();
        folder& dir = store_->directory();
        {
            auto content = dir.open(id + ".content", os::open_mode::read_write);
            ASSERT_TRUE(content.has_value() &&
                        dir.files().write_at(*content, known.content.size(), std::string("#")).has_value());
        }
        ASSERT_TRUE(taken->reload().has_value());
        known.edit_safe = files.events();
        ASSERT_TRUE(store_->release(std::move(*taken)).has_value());
    }
    void fail(const std::string& id) {
        messages[id].failed = true;
        ASSERT_TRUE(store_->fail(std::move(*store_->claim(id)), "no", 550).has_value());
    }
    void fail_partly(const std::string& id) {
        messages[id].failed = true;
        messages[id].partly = files.events();
        ASSERT_TRUE(store_->fail_partly(std::move(*store_->claim(id)), {"second@example.com"}, "some", 550)
                        .has_value());
    }
    store& get() { return *store_; }

    test_filesystem files; // lives longer than the store
    history messages;
    // A commit that finds the journal full flushes its own files: what was finished before it may then come
    // back, to be delivered twice.
    bool all_journalled = true;

private:
    opened_store store_;
    unsigned puts_ = 0;
};

void write_state(const disk_state& state, const temporary_directory& dir) {
    for (const auto& [name, text] : state)
        dir.write(name, text);
}

// The store opened on what the disk has kept must have all that was promised up to then.
void check(const temporary_directory& dir, const history& messages, std::size_t events, opened_store& s) {
    std::set<std::string> ready, bad;
    for (const std::string& id : *ready_ids(*s))
        ready.insert(id);
    for (const std::string& id : *s->failed())
        bad.insert(id);
    for (const auto& [id, m] : messages) {
        bool there = ready.contains(id) || bad.contains(id);
        if (m.acknowledged <= events && m.finish_begun > events) {
            EXPECT_TRUE(there) << id << " is lost";
        }
        if (m.finish_safe <= events) {
            EXPECT_FALSE(there) << id << " is back";
        }
        if (bad.contains(id)) {
            EXPECT_TRUE(m.failed);
            EXPECT_NE(dir.read(id + ".envelope.bad").find("X-MailRelay-ReasonCode: 550\r\n"),
                      std::string::npos);
        }
        EXPECT_FALSE(dir.has(id + ".envelope.busy"));
        if (!there || m.acknowledged > events)
            continue;
        if (m.finish_begun <= events && !dir.has(id + ".content"))
            continue; // being deleted: an envelope without content is never sent
        EXPECT_TRUE(m.may_have(dir.read(id + ".content"), events)) << id << " is damaged";
        auto envelope =
            mail::parse_envelope(dir.read(id + (ready.contains(id) ? ".envelope" : ".envelope.bad")));
        ASSERT_TRUE(envelope.has_value()) << id;
        std::vector<std::string> all{m.recipient}, reduced{"second@example.com"};
        if (m.partly != SIZE_MAX)
            all.push_back(reduced.front());
        // Until the reduced envelope is known to be on the disk both may be there; a failed one is reduced.
        bool may_be_reduced = m.partly <= events;
        if (m.partly != SIZE_MAX && bad.contains(id)) {
            EXPECT_EQ(envelope->value.to_remote, reduced) << id;
        } else {
            EXPECT_TRUE(envelope->value.to_remote == all ||
                        (may_be_reduced && envelope->value.to_remote == reduced))
                << id;
        }
    }
    for (const std::string& id :
         ready) { // and nothing that is not a message of ours, whole or refused as broken
        ASSERT_TRUE(messages.contains(id)) << id;
        bool whole = mail::parse_envelope(dir.read(id + ".envelope")).has_value();
        if (whole && messages.at(id).finish_begun > events) {
            EXPECT_TRUE(messages.at(id).may_have(dir.read(id + ".content"), events))
                << id << " would be sent damaged";
        }
    }
}

void cut_everywhere(const workload& w, unsigned stride = 1) {
    unsigned seed = 1;
    for (std::size_t events = 0; events <= w.files.events(); events += stride)
        for (keep what : {keep::flushed_only, keep::prefix, keep::any}) {
            SCOPED_TRACE("events " + std::to_string(events) + ", kept " +
                         std::to_string(static_cast<int>(what)) + ", seed " + std::to_string(seed));
            temporary_directory dir;
            write_state(w.files.power_cut(events, what, seed++), dir);
            {
                opened_store s(dir.path());
                check(dir, w.messages, events, s);
            }
            if (::testing::Test::HasFailure())
                return;
        }
}

// With small limits, so that messages of a few kilobytes take every way there is.
settings with_checkpoint(std::chrono::milliseconds every) {
    settings s;
    s.checkpoint = every;
    s.hold_in_memory = 2000;
    s.journal_limit = 8000;
    return s;
}

} // namespace

TEST(power_cut, during_commits) {
    temporary_directory dir;
    workload w(dir.path(), with_checkpoint(std::chrono::hours(1)));
    for (std::size_t size : {10u, 1500u, 5000u, 10'000u, 0u})
        w.put(size);
    cut_everywhere(w);
}

TEST(power_cut, during_forwarding) {
    temporary_directory dir;
    workload w(dir.path(), with_checkpoint(std::chrono::hours(1)));
    std::string a = w.put(10), b = w.put(10'000), c = w.put(20), d = w.put(30), e = w.put(5000);
    w.forward(a);
    w.give_back(b);
    w.put(40);
    w.fail(c);
    w.forward(b);
    w.put(50);
    w.forward(e);
    w.give_back(d);
    w.put(60);
    cut_everywhere(w);
}

TEST(power_cut, during_rewriting) {
    temporary_directory dir;
    workload w(dir.path(), with_checkpoint(std::chrono::hours(1)));
    std::string a = w.put(10, true), b = w.put(10'000, true), c = w.put(20);
    w.fail_partly(a);
    w.put(30);
    w.fail_partly(b);
    w.forward(c);
    w.put(40);
    cut_everywhere(w);
}

// Also when its record is still in the journal, which has it as it was accepted.
TEST(power_cut, during_client_filters) {
    temporary_directory dir;
    workload w(dir.path(), with_checkpoint(std::chrono::hours(1)));
    std::string a = w.put(10), b = w.put(10'000), c = w.put(5000);
    w.edit_and_give_back(a);
    w.edit_and_give_back(b);
    w.put(40);
    w.edit_and_give_back(c);
    w.forward(a);
    w.forward(c);
    w.put(50);
    cut_everywhere(w);
}

// Where administrators and POP users put a message, and from which event on that holds.
class administration {
public:
    explicit administration(workload& w) : work_(w) {}

    std::string put(std::size_t size) {
        std::string id = work_.put(size);
        steps_[id] = {{0, 0, "gone"}, {0, work_.files.events(), "ready"}};
        return id;
    }
    // `durable`: what was answered survives.
    template <class Work>
    void step(const std::string& id, const char* to, bool durable, Work work) {
        std::size_t begun = work_.files.events();
        work();
        steps_[id].push_back({begun, durable ? work_.files.events() : SIZE_MAX, to});
    }
    void hold(const std::string& id) {
        step(id, "held", true, [&] { ASSERT_TRUE(work_.get().hold(id).has_value()); });
    }
    void let_go(const std::string& id) {
        step(id, "ready", true, [&] { ASSERT_TRUE(work_.get().let_go(id).has_value()); });
    }
    void fail(const std::string& id) {
        step(id, "failed", false, [&] {
            ASSERT_TRUE(work_.get().fail(std::move(*work_.get().claim(id)), "no", 550).has_value());
        });
    }
    void unfail(const std::string& id) {
        step(id, "ready", true, [&] { ASSERT_TRUE(work_.get().unfail(id).has_value()); });
    }
    void remove(const std::string& id) {
        step(id, "gone", true, [&] { ASSERT_TRUE(work_.get().remove(id).has_value()); });
    }
    void fetch(const std::string& id) { // with POP, which flushes nothing of its own
        step(id, "gone", false, [&] { ASSERT_TRUE(mailbox(work_.get()).remove({id})); });
    }

    void check(const temporary_directory& dir, std::size_t events, opened_store& s) const {
        std::map<std::string, std::string> found;
        for (const auto& [state, name] :
             {std::pair(message_state::ready, "ready"), std::pair(message_state::failed, "failed"),
              std::pair(message_state::held, "held"), std::pair(message_state::busy, "busy")})
            for (const std::string& id : *s->list(state)) {
                EXPECT_TRUE(found.emplace(id, name).second) << id << " is there twice";
                EXPECT_TRUE(steps_.contains(id)) << id << " is nobody's";
            }
        for (const auto& [id, steps] : steps_) {
            std::string state = found.contains(id) ? found[id] : "gone";
            EXPECT_TRUE(may_be(steps, state, events)) << id << " is " << state;
            if (state == "gone")
                continue;
            bool whole = dir.read(id + ".content") == work_.messages.at(id).content;
            // What is being deleted may have lost its content: then it is never sent.
            EXPECT_TRUE(whole || (may_be(steps, "gone", events) && !dir.has(id + ".content"))) << id;
        }
    }

private:
    struct known {
        std::size_t begun, holds_from;
        std::string state;
    };
    // The last that holds, and all that were begun after it.
    static bool may_be(const std::vector<known>& steps, const std::string& state, std::size_t events) {
        for (auto s = steps.rbegin(); s != steps.rend(); ++s) {
            if (s->begun <= events && s->state == state)
                return true;
            if (s->holds_from <= events)
                return false;
        }
        return false;
    }

    workload& work_;
    std::map<std::string, std::vector<known>> steps_;
};

TEST(power_cut, during_administration) {
    temporary_directory dir;
    workload w(dir.path(), with_checkpoint(std::chrono::hours(1)));
    administration admin(w);
    std::string a = admin.put(10), b = admin.put(10'000), c = admin.put(20), d = admin.put(30),
                e = admin.put(5000), f = admin.put(40);
    admin.hold(a);
    admin.hold(b);
    admin.fail(c);
    admin.put(50);
    admin.unfail(c);
    admin.let_go(a);
    admin.remove(b);
    admin.hold(e);
    admin.fail(d);
    admin.remove(d);
    admin.fetch(f);
    admin.put(60);
    admin.remove(e);
    admin.hold(c);
    unsigned seed = 1;
    for (std::size_t events = 0; events <= w.files.events(); ++events)
        for (keep what : {keep::flushed_only, keep::prefix, keep::any}) {
            SCOPED_TRACE("events " + std::to_string(events) + ", kept " +
                         std::to_string(static_cast<int>(what)) + ", seed " + std::to_string(seed));
            temporary_directory after;
            write_state(w.files.power_cut(events, what, seed++), after);
            opened_store s(after.path());
            admin.check(after, events, s);
            if (::testing::Test::HasFailure())
                return;
        }
}

TEST(power_cut, while_checkpoints_go_on) {
    temporary_directory dir;
    settings config = with_checkpoint(std::chrono::milliseconds(1));
    config.journal_segment = 16 << 10;
    config.journal_size = 64 << 10;
    workload w(dir.path(), config);
    w.all_journalled = false;
    std::vector<std::string> ids;
    for (int i = 0; i < 40; ++i) {
        ids.push_back(w.put(100 + static_cast<std::size_t>(i) * 50));
        if (i % 3 == 2 && i % 7 != 0)
            w.forward(ids[static_cast<std::size_t>(i) - 1]);
        if (i % 7 == 6)
            w.fail(ids[static_cast<std::size_t>(i)]);
        if (i % 4 == 3)
            w.give_back(ids[0]);
    }
    cut_everywhere(w, 7);
}

// The recovery is cut off itself, by another power cut or again and again.
TEST(power_cut, during_recovery) {
    temporary_directory dir;
    workload w(dir.path(), with_checkpoint(std::chrono::hours(1)));
    std::string a = w.put(10);
    w.put(5000);
    std::string c = w.put(10'000);
    w.forward(a);
    w.fail(c);
    w.put(20);
    std::size_t events = w.files.events();
    unsigned seed = 1;
    for (keep what : {keep::flushed_only, keep::prefix, keep::any}) {
        disk_state first = w.files.power_cut(events, what, seed++);
        temporary_directory once;
        write_state(first, once);
        test_filesystem files;
        auto list_all = [&] { // so that the double knows what is on the disk
            auto d = files.open_directory(once.path());
            for (const auto& [name, text] : first)
                (void)files.open(*d, name, os::open_mode::read);
        };
        list_all();
        { opened_store s(once.path(), {}, &files); }
        for (std::size_t n = 0; n <= files.events(); ++n)
            for (keep then : {keep::flushed_only, keep::prefix, keep::any}) {
                SCOPED_TRACE("kept " + std::to_string(static_cast<int>(what)) + ", event of the recovery " +
                             std::to_string(n) + ", then kept " + std::to_string(static_cast<int>(then)));
                temporary_directory twice;
                write_state(files.power_cut(n, then, seed++), twice);
                opened_store s(twice.path());
                check(twice, w.messages, events, s);
                if (::testing::Test::HasFailure())
                    return;
            }
    }
}

TEST(power_cut, with_many_writers) {
    temporary_directory dir;
    settings config = with_checkpoint(std::chrono::milliseconds(2));
    config.journal_segment = 64 << 10;
    test_filesystem files;
    std::mutex mutex;
    std::map<std::string, std::pair<std::string, std::size_t>> acknowledged; // content, number of events
    {
        opened_store s(dir.path(), config, &files);
        std::vector<std::thread> writers;
        for (int t = 0; t < 4; ++t)
            writers.emplace_back([&, t] {
                for (int i = 0; i < 25; ++i) {
                    std::string content =
                        std::to_string(t) + "." + std::to_string(i) + std::string(3000, 'x');
                    std::string id = store_message(*s, content);
                    std::size_t now = files.events();
                    std::lock_guard lock(mutex);
                    acknowledged[id] = {content, now};
                }
            });
        for (auto& w : writers)
            w.join();
        std::size_t end = files.events();
        for (std::size_t events = 0; events <= end; events += 23) {
            temporary_directory after;
            write_state(files.power_cut(events, keep::any, static_cast<unsigned>(events)), after);
            opened_store again(after.path());
            auto ids = ready_ids(*again);
            std::set<std::string> ready(ids->begin(), ids->end());
            for (const auto& [id, what] : acknowledged)
                if (what.second <= events) {
                    ASSERT_TRUE(ready.contains(id)) << id << " is lost at " << events;
                    ASSERT_TRUE(after.read(id + ".content") == what.first)
                        << id << " is damaged at " << events;
                }
        }
    }
}

} // namespace spool
