// Every operation of a commit, and of what follows it, is made to fail once with each likely error.
#include "spool/spool_test.hpp"
#include "spool/test_filesystem.hpp"

namespace spool {

using namespace test;

namespace {

using names = std::set<std::string>;

settings quiet() { // nothing goes on in the background
    settings s;
    s.checkpoint = std::chrono::hours(1);
    return s;
}

std::string content_of(std::size_t size) {
    std::string text;
    for (std::size_t i = 0; text.size() < size; ++i)
        text += "line " + std::to_string(i) + "\r\n";
    text.resize(size);
    return text;
}

struct row {
    const char* what;
    std::size_t size;
    bool warm; // a journal is there already
    bool sync = true;
};

const row rows[] = {
    {"small, first", 1000, false},
    {"small", 1000, true},
    {"begun, journalled", 100'000, true},
    {"begun, first", 100'000, false},
    {"large", 400'000, true},
    {"empty", 0, true},
    {"without flushes", 1000, true, false},
    {"large without flushes", 400'000, true, false},
};

// One commit with the n-th operation failing; false when there is no n-th operation.
bool commit_with_failure(const row& r, std::size_t n, int error) {
    SCOPED_TRACE(std::string(r.what) + ", operation " + std::to_string(n) + ", error " +
                 std::to_string(error));
    temporary_directory dir;
    test_filesystem files;
    settings config = quiet();
    config.sync = r.sync;
    opened_store s(dir.path(), config, &files);
    names before;
    if (r.warm) {
        std::string id = store_message(*s, "before");
        before = {id + ".content", id + ".envelope"};
    }
    std::string content = content_of(r.size);

    files.fail_at(n, error);
    new_message message = s->create();
    for (std::size_t at = 0; at < content.size(); at += 30'000) {
        message.append(
            std::span<const char>(content).subspan(at, std::min<std::size_t>(30'000, content.size() - at)));
        if (message.needs_write())
            message.write();
    }
    auto outcome = commit_and_wait(*s, std::move(message), envelope_to("x@y"));
    bool failed = files.has_failed();
    std::string operation = files.failed_operation();
    files.stop_failing();

    auto ids = ready_ids(*s);
    EXPECT_TRUE(ids.has_value());
    if (outcome.has_error()) {
        EXPECT_TRUE(failed);
        if (operation != "remove") { // then the files may stay, but not as a message
            EXPECT_EQ(dir.names(), before) << operation;
        }
        EXPECT_EQ(ids->size(), before.size() / 2);
    } else {
        EXPECT_EQ(ids->size(), before.size() / 2 + 1);
        EXPECT_EQ(dir.names().size(), before.size() + 2);
        EXPECT_TRUE(dir.read(ids->back() + ".content") == content);
        EXPECT_EQ(dir.read(ids->back() + ".envelope"), mail::format_envelope(envelope_to("x@y")));
    }
    store_message(*s, "after");
    ids = ready_ids(*s);
    for (const std::string& id : *ids) {
        auto taken = s->claim(id);
        EXPECT_TRUE(taken.has_value());
        if (taken.has_value()) {
            EXPECT_TRUE(s->finish(std::move(*taken)).has_value());
        }
    }
    return failed;
}

} // namespace

TEST(store_failures, of_every_operation_of_a_commit) {
    for (const row& r : rows)
        for (int error : {ENOSPC, EIO, EMFILE}) {
            std::size_t n = 0;
            while (commit_with_failure(r, n, error)) {
                ++n;
                ASSERT_LT(n, 200u);
                if (::testing::Test::HasFailure())
                    return;
            }
            EXPECT_GT(n, 4u) << r.what;
        }
}

// After a failed commit a power cut does not bring the message back.
TEST(store_failures, a_refused_message_stays_refused) {
    for (std::size_t n = 0; n < 40; ++n) {
        temporary_directory dir, after;
        test_filesystem files;
        {
            opened_store s(dir.path(), quiet(), &files);
            store_message(*s, "before");
            files.fail_at(n, EIO);
            new_message message = s->create();
            message.append(std::string("refused"));
            auto outcome = commit_and_wait(*s, std::move(message), envelope_to("x@y"));
            files.stop_failing();
            if (outcome.has_value())
                continue;
            for (const auto& [name, text] : files.power_cut(files.events(), test_filesystem::keep::prefix, 1))
                after.write(name, text);
        }
        opened_store s(after.path());
        EXPECT_EQ(ready_ids(*s)->size(), 1u) << n;
    }
}

TEST(store_failures, of_the_flush_of_a_batch_concern_those_who_waited_for_it) {
    temporary_directory dir;
    test_filesystem files;
    opened_store s(dir.path(), quiet(), &files);
    std::string kept = store_message(*s, "before");
    files.fail_kind("fdatasync", EIO);
    new_message message = s->create();
    message.append(std::string("lost"));
    EXPECT_TRUE(commit_and_wait(*s, std::move(message), envelope_to("x@y")).has_error());
    files.stop_failing();
    EXPECT_EQ(dir.names(), (names{kept + ".content", kept + ".envelope"}));
    store_message(*s, "after");
    EXPECT_EQ(ready_ids(*s)->size(), 2u);
}

TEST(store_failures, a_full_disk_refuses_and_then_goes_on) {
    for (std::size_t size : {1000u, 100'000u, 1'000'000u}) {
        temporary_directory dir;
        test_filesystem files;
        opened_store s(dir.path(), quiet(), &files);
        files.fail_kind("write", ENOSPC);
        new_message message = s->create();
        message.append(std::string(size, 'x'));
        if (message.needs_write())
            message.write();
        auto outcome = commit_and_wait(*s, std::move(message), envelope_to("x@y"));
        ASSERT_TRUE(outcome.has_error());
        EXPECT_EQ(outcome.error().code, boost::system::errc::no_space_on_device);
        EXPECT_EQ(dir.names(), names{});
        EXPECT_EQ(dir.hidden_names(), names{}); // no half segment either
        files.stop_failing();
        store_message(*s, "after");
    }
}

TEST(store_failures, without_room_for_a_journal_files_are_flushed) {
    temporary_directory dir;
    test_filesystem files;
    files.set_free_space(100'000);
    opened_store s(dir.path(), {}, &files);
    std::string id = store_message(*s, "hello");
    EXPECT_EQ(dir.hidden_names(), names{});
    EXPECT_EQ(files.count("fsync"), 3u); // content, envelope, directory
    auto taken = s->claim(id);           // goes on even though the claim cannot be recorded
    ASSERT_TRUE(taken.has_value());
    ASSERT_TRUE(s->finish(std::move(*taken)).has_value());
    EXPECT_EQ(dir.names(), names{});
}

TEST(store_failures, of_every_operation_of_forwarding) {
    enum class end { finish, release, fail, fail_partly };
    for (end e : {end::finish, end::release, end::fail, end::fail_partly}) {
        for (std::size_t n = 0;; ++n) {
            temporary_directory dir;
            test_filesystem files;
            opened_store s(dir.path(), quiet(), &files);
            std::string id = store_message(*s, "hello");
            files.fail_at(n, EIO);
            auto taken = s->claim(id);
            if (taken.has_value()) {
                switch (e) {
                case end::finish:
                    (void)s->finish(std::move(*taken));
                    break;
                case end::release:
                    (void)s->release(std::move(*taken));
                    break;
                case end::fail:
                    (void)s->fail(std::move(*taken), "no", 550);
                    break;
                case end::fail_partly:
                    (void)s->fail_partly(std::move(*taken), {"to@example.com"}, "some", std::nullopt);
                    break;
                }
            }
            bool failed = files.has_failed();
            files.stop_failing();
            // Never lost: an envelope is there in one state, whole, with its content; or both are deleted.
            names left = dir.names();
            std::size_t envelopes = 0;
            for (const char* state : {".envelope", ".envelope.busy", ".envelope.bad"})
                if (left.contains(id + state)) {
                    ++envelopes;
                    EXPECT_TRUE(mail::parse_envelope(dir.read(id + state)).has_value());
                    EXPECT_EQ(dir.read(id + ".content"), "hello");
                }
            EXPECT_LE(envelopes, 1u);
            if (e != end::finish) {
                EXPECT_EQ(envelopes, 1u) << n;
            }
            if (!failed)
                break;
        }
    }
}

} // namespace spool
