// Messages that filters see before they are accepted: what is in the files when they are committed is the
// message, and nothing is left of one that is not.
#include "spool/folder.hpp"
#include "spool/spool_test.hpp"
#include "spool/test_filesystem.hpp"

namespace spool {

using namespace test;

namespace {

using names = std::set<std::string>;
using which = store::must_be_there;

settings quiet() { // nothing goes on in the background
    settings s;
    s.checkpoint = std::chrono::hours(1);
    return s;
}

base::result<staged_message> stage(store& s, const std::string& content) {
    new_message message = s.create();
    message.append(content);
    if (message.needs_write())
        message.write();
    return s.stage(std::move(message), envelope_to("x@y"));
}

base::result<std::string> commit(store& s, staged_message message, which what) {
    std::promise<base::result<std::string>> outcome;
    s.commit(std::move(message), what,
             [&outcome](base::result<std::string> r) { outcome.set_value(std::move(r)); });
    return outcome.get_future().get();
}

const std::string text(1000, 'x');
const std::string large(400'000, 'x');

} // namespace

TEST(staged_messages, are_not_ready) {
    temporary_directory dir;
    opened_store s(dir.path());
    for (const std::string& content : {std::string(), text, large}) {
        auto staged = stage(*s, content);
        ASSERT_TRUE(staged.has_value());
        std::string id = staged->id();
        EXPECT_EQ(dir.names(), (names{id + ".content", id + ".envelope.new"}));
        EXPECT_TRUE(dir.read(id + ".content") == content);
        EXPECT_EQ(dir.read(id + ".envelope.new"), mail::format_envelope(envelope_to("x@y")));
        EXPECT_TRUE(ready_ids(*s)->empty());
        { staged_message gone(std::move(*staged)); }
        EXPECT_TRUE(dir.names().empty());
    }
}

// Of another process with the same pid: in a container it is 1. Or of another relay of this one.
TEST(staged_messages, take_another_name_if_theirs_is_taken) {
    for (bool sync : {true, false})
        for (const std::string& content : {std::string(), text, large}) {
            temporary_directory dir;
            settings how = quiet();
            how.sync = sync;
            opened_store s(dir.path(), how);
            new_message message = s->create();
            const std::string taken = message.id();
            dir.write(taken + ".envelope.new", "another's");
            message.append(content);
            if (message.needs_write())
                message.write();
            auto staged = s->stage(std::move(message), envelope_to("x@y"));
            ASSERT_TRUE(staged.has_value()) << staged.error().message();
            const std::string id = staged->id();
            EXPECT_NE(id, taken);
            ASSERT_TRUE(commit(*s, std::move(*staged), which::both).has_value());
            EXPECT_EQ(dir.names(), (names{taken + ".envelope.new", id + ".content", id + ".envelope"}));
            EXPECT_EQ(dir.read(taken + ".envelope.new"), "another's");
            EXPECT_TRUE(dir.read(id + ".content") == content);
        }
}

TEST(staged_messages, are_stored_as_filters_leave_them) {
    for (const std::string& content : {std::string(), text, large}) {
        temporary_directory dir;
        opened_store s(dir.path());
        auto staged = stage(*s, "before");
        std::string id = staged->id();
        dir.write(id + ".content", content);
        dir.write(id + ".envelope.new", mail::format_envelope(envelope_to("edited@z")));
        ASSERT_TRUE(commit(*s, std::move(*staged), which::both).has_value());
        EXPECT_EQ(dir.names(), (names{id + ".content", id + ".envelope"}));
        auto taken = s->claim(id);
        ASSERT_TRUE(taken.has_value());
        EXPECT_TRUE(read_content(*taken) == content);
        EXPECT_EQ(taken->envelope().to_remote, std::vector<std::string>{"edited@z"});
        ASSERT_TRUE(s->finish(std::move(*taken)).has_value());
    }
}

TEST(staged_messages, with_files_gone) {
    for (bool content_gone : {false, true})
        for (bool envelope_gone : {false, true}) {
            temporary_directory dir;
            opened_store s(dir.path());
            for (which what : {which::both, which::none}) {
                auto staged = stage(*s, text);
                std::string id = staged->id();
                if (content_gone)
                    std::filesystem::remove(dir / (id + ".content"));
                if (envelope_gone)
                    std::filesystem::remove(dir / (id + ".envelope.new"));
                auto outcome = commit(*s, std::move(*staged), what);
                bool refused = what == which::both && (content_gone || envelope_gone);
                EXPECT_EQ(outcome.has_error(), refused);
                if (refused) {
                    EXPECT_EQ(outcome.error().code, boost::system::errc::no_such_file_or_directory);
                    EXPECT_TRUE(dir.names().empty());
                } else {
                    EXPECT_EQ(dir.has(id + ".content"), !content_gone);
                    EXPECT_EQ(dir.has(id + ".envelope"), !envelope_gone);
                    std::filesystem::remove(dir / (id + ".content"));
                    std::filesystem::remove(dir / (id + ".envelope"));
                }
            }
        }
}

TEST(staged_messages, with_a_broken_envelope_are_refused) {
    temporary_directory dir;
    opened_store s(dir.path());
    auto staged = stage(*s, text);
    dir.write(staged->id() + ".envelope.new", "rubbish");
    auto outcome = commit(*s, std::move(*staged), which::both);
    ASSERT_TRUE(outcome.has_error());
    EXPECT_EQ(outcome.error().code, boost::system::errc::bad_message);
    EXPECT_TRUE(dir.names().empty());
}

// Every operation fails once: either all of the message is there, or nothing.
TEST(staged_messages, any_operation_may_fail) {
    for (const std::string& content : {text, large})
        for (std::size_t n = 0;; ++n) {
            SCOPED_TRACE(std::to_string(content.size()) + ", operation " + std::to_string(n));
            temporary_directory dir;
            test_filesystem files;
            opened_store s(dir.path(), quiet(), &files);
            store_message(*s, "before");
            names before = dir.names();
            files.fail_at(n, EIO);
            auto staged = stage(*s, content);
            base::result<std::string> outcome = std::string();
            if (staged.has_value())
                outcome = commit(*s, std::move(*staged), which::both);
            else
                outcome = staged.error();
            bool failed = files.has_failed();
            std::string operation = files.failed_operation();
            files.stop_failing();
            if (outcome.has_error()) {
                EXPECT_TRUE(failed);
                EXPECT_EQ(ready_ids(*s)->size(), 1u);
                if (operation != "remove") {
                    EXPECT_EQ(dir.names(), before) << operation;
                }
            } else {
                EXPECT_EQ(ready_ids(*s)->size(), 2u);
                EXPECT_EQ(dir.names().size(), 4u);
            }
            store_message(*s, "after");
            if (!failed || ::testing::Test::HasFailure())
                break;
            ASSERT_LT(n, 200u);
        }
}

// Accepted as edited, and there after a power cut, whatever the disk did with what was not flushed.
TEST(staged_messages, survive_a_power_cut) {
    for (const std::string& content : {text, large})
        for (auto keep :
             {test_filesystem::keep::flushed_only, test_filesystem::keep::prefix, test_filesystem::keep::any})
            for (unsigned seed = 0; seed < 8; ++seed) {
                temporary_directory dir, after;
                test_filesystem files;
                std::string id;
                {
                    opened_store s(dir.path(), quiet(), &files);
                    auto staged = stage(*s, "before");
                    id = staged->id();
                    // An edit as a program makes it: by a new file.
                    const folder& d = s->directory();
                    ASSERT_TRUE(d.write_new("edit", content, false).has_value());
                    ASSERT_TRUE(d.rename("edit", id + ".content").has_value());
                    ASSERT_TRUE(commit(*s, std::move(*staged), which::both).has_value());
                    for (const auto& [name, bytes] : files.power_cut(files.events(), keep, seed))
                        after.write(name, bytes);
                }
                opened_store s(after.path(), quiet());
                EXPECT_EQ(*ready_ids(*s), std::vector<std::string>{id});
                EXPECT_TRUE(after.read(id + ".content") == content) << seed;
                EXPECT_EQ(after.read(id + ".envelope"), mail::format_envelope(envelope_to("x@y")));
            }
}

TEST(staged_messages, linked_ones_are_messages_of_their_own) {
    temporary_directory dir;
    opened_store s(dir.path());
    auto staged = stage(*s, text);
    std::string first = staged->id(), second = s->new_id();
    auto linked = s->stage_linked(second, first + ".content", mail::format_envelope(envelope_to("other@z")));
    ASSERT_TRUE(linked.has_value());
    EXPECT_TRUE(ready_ids(*s)->empty());
    std::vector<staged_message> new_ones;
    new_ones.push_back(std::move(*linked));
    auto last = [&]() -> base::result<void> {
        EXPECT_EQ(*ready_ids(*s), std::vector<std::string>{second});
        return {};
    };
    ASSERT_TRUE(s->commit_at_once(std::move(new_ones), last).has_value());
    EXPECT_EQ(*ready_ids(*s), std::vector<std::string>{second});
    { staged_message gone(std::move(*staged)); }
    EXPECT_EQ(dir.names(), (names{second + ".content", second + ".envelope"}));
    EXPECT_EQ(dir.read(second + ".content"), text);
}

TEST(staged_messages, linked_ones_leave_what_has_their_name) {
    for (const char* suffix : {".content", ".envelope.new"}) {
        temporary_directory dir;
        opened_store s(dir.path());
        auto staged = stage(*s, text);
        const std::string first = staged->id(), second = s->new_id();
        dir.write(second + suffix, "another's");
        auto linked = s->stage_linked(second, first + ".content", mail::format_envelope(envelope_to("x@z")));
        ASSERT_TRUE(linked.has_error()) << suffix;
        EXPECT_EQ(linked.error().code, boost::system::errc::file_exists);
        EXPECT_EQ(dir.read(second + suffix), "another's");
        EXPECT_EQ(dir.names(), (names{first + ".content", first + ".envelope.new", second + suffix}));
    }
}

// Every operation fails once: all new messages are there and then the last step is done, or none of it.
TEST(staged_messages, are_committed_together_or_not_at_all) {
    for (std::size_t n = 0;; ++n) {
        SCOPED_TRACE("operation " + std::to_string(n));
        temporary_directory dir;
        test_filesystem files;
        opened_store s(dir.path(), quiet(), &files);
        std::string original = store_message(*s, text);
        files.fail_at(n, EIO);
        auto outcome = split_in_four(*s, original);
        bool failed = files.has_failed();
        files.stop_failing();
        EXPECT_EQ(dir.has("last"), outcome.has_value());
        EXPECT_EQ(ready_ids(*s)->size(), outcome.has_value() ? 4u : 1u);
        EXPECT_EQ(dir.names().size(), outcome.has_value() ? 9u : 2u);
        if (!failed || ::testing::Test::HasFailure())
            break;
        ASSERT_LT(n, 200u);
    }
}

TEST(staged_messages, that_a_forwarder_has_taken_are_not_withdrawn) {
    temporary_directory dir;
    opened_store s(dir.path());
    std::string original = store_message(*s, text), taken;
    auto forwarded = [&]() -> base::result<void> {
        taken = ready_ids(*s)->back();
        std::filesystem::rename(dir / (taken + ".envelope"), dir / (taken + ".envelope.busy"));
        return base::make_error(EIO, "last step");
    };
    EXPECT_TRUE(split_in_four(*s, original, forwarded).has_error());
    EXPECT_EQ(dir.names(), (names{original + ".envelope", original + ".content", taken + ".envelope.busy",
                                  taken + ".content"}));
}

// Once the last step is done, no power cut takes any of them away.
TEST(staged_messages, committed_together_survive_a_power_cut) {
    for (auto keep :
         {test_filesystem::keep::flushed_only, test_filesystem::keep::prefix, test_filesystem::keep::any})
        for (unsigned seed = 0; seed < 8; ++seed) {
            temporary_directory dir, after;
            test_filesystem files;
            {
                opened_store s(dir.path(), quiet(), &files);
                std::string original = store_message(*s, text);
                std::size_t stored = 0;
                auto last = [&]() -> base::result<void> {
                    stored = files.events();
                    return {};
                };
                ASSERT_TRUE(split_in_four(*s, original, last).has_value());
                for (const auto& [name, bytes] : files.power_cut(stored, keep, seed))
                    after.write(name, bytes);
            }
            opened_store s(after.path(), quiet());
            auto ready = *ready_ids(*s);
            EXPECT_EQ(ready.size(), 4u) << seed;
            for (const std::string& id : ready)
                EXPECT_EQ(after.read(id + ".content"), text) << seed;
        }
}

// A forwarder's message after others have worked on it.
TEST(claimed_messages, are_read_again) {
    temporary_directory dir;
    opened_store s(dir.path());
    std::string id = store_message(*s, text);
    auto taken = s->claim(id);
    ASSERT_TRUE(taken.has_value());
    ASSERT_TRUE(taken->reload().has_value());
    EXPECT_EQ(read_content(*taken), text);
    dir.write("new", "edited");
    std::filesystem::rename(dir / "new", dir / (id + ".content"));
    dir.write("new", mail::format_envelope(envelope_to("edited@z")));
    std::filesystem::rename(dir / "new", dir / (id + ".envelope.busy"));
    ASSERT_TRUE(taken->reload().has_value());
    EXPECT_EQ(read_content(*taken), "edited");
    EXPECT_EQ(taken->envelope().to_remote, std::vector<std::string>{"edited@z"});
    std::filesystem::remove(dir / (id + ".content"));
    auto without_content = taken->reload();
    ASSERT_TRUE(without_content.has_error());
    EXPECT_EQ(without_content.error().message(), "cannot open content file");
    std::filesystem::remove(dir / (id + ".envelope.busy"));
    auto gone = taken->reload();
    ASSERT_TRUE(gone.has_error());
    EXPECT_EQ(gone.error().code, boost::system::errc::no_such_file_or_directory);
    EXPECT_TRUE(s->release(std::move(*taken)).has_value());
}

} // namespace spool
