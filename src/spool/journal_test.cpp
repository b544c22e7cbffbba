// The journal at work: shared flushes, used-again segments, checkpoints and their failures.
#include "spool/journal.hpp"
#include "spool/spool_test.hpp"
#include "spool/test_filesystem.hpp"

#include <atomic>
#include <latch>
#include <thread>

namespace spool {

using namespace test;

namespace {

using names = std::set<std::string>;
using keep = test_filesystem::keep;

settings with_checkpoint(std::chrono::milliseconds every) {
    settings s;
    s.checkpoint = every;
    return s;
}

// A few messages fill one.
settings with_small_segments(std::chrono::milliseconds every_checkpoint) {
    settings s = with_checkpoint(every_checkpoint);
    s.journal_segment = 64 << 10;
    return s;
}

void forward(store& s, const std::string& id) {
    auto taken = s.claim(id);
    ASSERT_TRUE(taken.has_value());
    ASSERT_TRUE(s.finish(std::move(*taken)).has_value());
}

std::uintmax_t size_of_journal(const temporary_directory& dir) {
    std::uintmax_t size = 0;
    for (const std::string& name : dir.hidden_names())
        size += std::filesystem::file_size(dir / name);
    return size;
}

std::set<std::string> ids_after_cut(const test_filesystem& files, keep what, unsigned seed = 7) {
    temporary_directory after;
    for (const auto& [name, text] : files.power_cut(files.events(), what, seed))
        after.write(name, text);
    opened_store s(after.path());
    auto ids = *ready_ids(*s);
    return {ids.begin(), ids.end()};
}

} // namespace

TEST(journal, shares_flushes) {
    temporary_directory dir;
    test_filesystem files;
    opened_store s(dir.path(), with_checkpoint(std::chrono::hours(1)), &files);
    store_message(*s, "the journal is there now");
    std::size_t before = files.count("fdatasync");
    files.hold_flushes();
    constexpr int others = 50;
    std::latch all(1 + others);
    std::atomic<int> done{0};
    auto commit = [&] {
        new_message message = s->create();
        message.append(std::string("hello"));
        s->commit(std::move(message), envelope_to("x@y"), [&](base::result<std::string> r) {
            EXPECT_TRUE(r.has_value());
            ++done;
            all.count_down();
        });
    };
    commit();
    files.wait_for("fdatasync", before + 1); // the first one is being flushed
    for (int i = 0; i < others; ++i)
        commit();
    EXPECT_EQ(done, 0); // nobody is told before the flush
    files.let_go();
    all.wait();
    EXPECT_EQ(files.count("fdatasync"), before + 2);
    EXPECT_EQ(files.count("fsync"), 2u); // the segment, and the directory for its name
    EXPECT_EQ(ready_ids(*s)->size(), 1u + 1 + others);
}

TEST(journal, a_message_shows_only_when_it_is_safe) {
    temporary_directory dir;
    test_filesystem files;
    opened_store s(dir.path(), with_checkpoint(std::chrono::hours(1)), &files);
    store_message(*s, "first");
    std::size_t before = files.count("fdatasync"), creations = files.count("create");
    files.hold_flushes();
    std::promise<void> done;
    new_message message = s->create();
    std::string id = message.id();
    message.append(std::string("hello"));
    s->commit(std::move(message), envelope_to("x@y"), [&](base::result<std::string>) { done.set_value(); });
    files.wait_for("fdatasync", before + 1);
    files.wait_for("create", creations + 2); // its files are made meanwhile
    EXPECT_EQ(ready_ids(*s)->size(), 1u);
    files.let_go();
    done.get_future().wait();
    EXPECT_EQ(ready_ids(*s)->size(), 2u);
}

TEST(journal, is_used_again_and_stays_small) {
    temporary_directory dir;
    test_filesystem files;
    settings config = with_small_segments(std::chrono::milliseconds(1));
    config.journal_size = 256 << 10;
    names stored;
    {
        opened_store s(dir.path(), config, &files);
        for (int i = 0; i < 400; ++i) { // four times what there is room for
            std::string id = store_message(*s, std::string(2000, 'x'));
            if (i % 2 == 0)
                forward(*s, id);
            else
                stored.insert(id);
        }
        EXPECT_LE(size_of_journal(dir), 256u << 10);
        EXPECT_GE(files.count("fdatasync"), 350u); // nearly all by way of the journal
        EXPECT_EQ(ids_after_cut(files, keep::flushed_only), stored);
        EXPECT_EQ(ids_after_cut(files, keep::any), stored);
    }
    EXPECT_EQ(dir.hidden_names(), names{});
    EXPECT_EQ(ids_after_cut(files, keep::flushed_only), stored);
}

// A flush of the directory holds up whoever makes files there meanwhile.
TEST(journal, has_no_checkpoints_for_messages_that_are_gone) {
    temporary_directory dir;
    test_filesystem files;
    opened_store s(dir.path(), with_checkpoint(std::chrono::milliseconds(100)), &files);
    forward(*s, store_message(*s, "the journal is there now"));
    constexpr std::size_t rounds = 5;
    std::size_t before = files.count("fsync");
    for (std::size_t i = 0; i < rounds; ++i) {
        forward(*s, store_message(*s, "hello"));
        while (ids_after_cut(files, keep::flushed_only) != names{} ||
               ids_after_cut(files, keep::any) != names{})
            std::this_thread::yield(); // until it is safe that it is gone
    }
    EXPECT_LE(files.count("fsync"), before + rounds / 2);
    files.wait_for("fsync", before + 1); // but in the end
}

// While it would give back segments if nothing came for a minute.
TEST(journal, has_checkpoints_after_a_busy_time_too) {
    temporary_directory dir;
    test_filesystem files;
    settings config = with_small_segments(std::chrono::milliseconds(10));
    opened_store s(dir.path(), config, &files);
    const auto busy = [&s](int messages) {
        for (int i = 0; i < messages; ++i)
            forward(*s, store_message(*s, std::string(10'000, 'x')));
    };
    const auto stays_and_is_flushed = [&s, &files] {
        const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(30);
        const std::size_t before = files.count("fsync");
        store_message(*s, "one that stays");
        while (files.count("fsync") <= before && std::chrono::steady_clock::now() < limit)
            std::this_thread::yield();
        return files.count("fsync") > before;
    };
    for (int i = 0; i < 5; ++i) {
        busy(20); // several segments
        ASSERT_TRUE(stays_and_is_flushed());
        busy(8); // some of which are found to be free again
        ASSERT_TRUE(stays_and_is_flushed());
        ASSERT_TRUE(stays_and_is_flushed());
    }
}

TEST(journal, flushes_no_claim_of_a_message_that_is_not_settled) {
    temporary_directory dir;
    test_filesystem files;
    opened_store s(dir.path(), with_checkpoint(std::chrono::hours(1)), &files);
    std::string id = store_message(*s, "hello");
    std::size_t before = files.count("fdatasync");
    s->announce(std::vector{id});
    auto taken = s->claim(id);
    ASSERT_TRUE(taken.has_value());
    EXPECT_EQ(files.count("fdatasync"), before);
    for (unsigned seed = 0; seed < 50; ++seed) // the rename is on the disk or not, the claim is or is not
        EXPECT_EQ(ids_after_cut(files, keep::any, seed), names{id});
}

// A claim that is not flushed may be the only record of a `.busy` once its message is settled.
TEST(journal, flushes_a_segment_before_it_goes_on_to_the_next) {
    temporary_directory dir;
    test_filesystem files;
    settings config = with_small_segments(std::chrono::hours(1));
    opened_store s(dir.path(), config, &files);
    std::string id = store_message(*s, "hello");
    auto taken = s->claim(id);
    ASSERT_TRUE(taken.has_value());
    ASSERT_TRUE(s->release(std::move(*taken)).has_value());
    std::size_t before = files.count("fdatasync");
    store_message(*s, std::string(60'000, 'x'));
    EXPECT_EQ(files.count("fdatasync"), before + 2);
}

TEST(journal, when_full_of_what_cannot_be_settled_files_are_flushed) {
    temporary_directory dir;
    test_filesystem files;
    settings config = with_small_segments(std::chrono::hours(1));
    config.journal_size = 128 << 10;
    opened_store s(dir.path(), config, &files);
    std::string first = store_message(*s, "first");
    files.fail_kind("fsync", EIO); // from now on no checkpoint, no new segment, and no direct flush succeeds
    names stored{first};
    std::size_t refused = 0;
    for (int i = 0; i < 100; ++i) {
        new_message message = s->create();
        std::string id = message.id();
        message.append(std::string(2000, 'x'));
        if (commit_and_wait(*s, std::move(message), envelope_to("x@y")).has_value())
            stored.insert(id);
        else
            ++refused;
    }
    EXPECT_GT(stored.size(), 10u);
    EXPECT_GT(refused, 10u);
    EXPECT_EQ(ids_after_cut(files, keep::flushed_only), stored); // nothing was overwritten
    files.stop_failing();
    store_message(*s, "after");
}

TEST(journal, large_envelopes_and_contents_of_every_size_find_their_way) {
    temporary_directory dir;
    test_filesystem files;
    opened_store s(dir.path(), {}, &files);
    for (std::size_t size : {0u, 1u, 3900u, 4096u, 65'536u, 65'537u, 262'144u, 262'145u}) {
        std::string id = store_message(*s, std::string(size, 'x'));
        EXPECT_EQ(dir.read(id + ".content").size(), size);
    }
    mail::envelope many = envelope_to("x@y");
    for (int i = 0; i < 10'000; ++i)
        many.to_remote.push_back("a.long.recipient.name." + std::to_string(i) + "@example.com");
    new_message message = s->create();
    message.append(std::string("hello"));
    ASSERT_TRUE(commit_and_wait(*s, std::move(message), many).has_value());
    EXPECT_EQ(ids_after_cut(files, keep::flushed_only).size(), 9u);
}

TEST(journal, settled_messages_are_the_users_own) {
    temporary_directory dir;
    settings config = with_checkpoint(std::chrono::milliseconds(1));
    test_filesystem files;
    opened_store s(dir.path(), config, &files);
    std::size_t flushes = files.count("fdatasync");
    std::string id = store_message(*s, "hello");
    files.wait_for("fdatasync", flushes + 2); // its own, and that of the record that says so
    store_message(*s, "another");
    disk_state disk = files.power_cut(files.events(), keep::flushed_only, 1);
    temporary_directory after;
    for (const auto& [name, text] : disk)
        after.write(name, text);
    std::filesystem::remove(after / (id + ".envelope")); // long after, by hand
    std::filesystem::remove(after / (id + ".content"));
    opened_store again(after.path());
    EXPECT_EQ(ready_ids(*again)->size(), 1u);
}

// A flush that failed is not asked again: the file is written anew.
TEST(journal, a_checkpoint_writes_anew_what_it_could_not_flush) {
    temporary_directory dir;
    test_filesystem files;
    std::string id;
    {
        opened_store s(dir.path(), with_checkpoint(std::chrono::hours(1)), &files);
        id = store_message(*s, "hello");
        files.fail_at(1, EIO); // close() flushes the content: open, fsync
        s->close();
        EXPECT_TRUE(files.has_failed());
        EXPECT_EQ(files.failed_operation(), "fsync");
        files.stop_failing();
    }
    EXPECT_EQ(dir.names(), (names{id + ".content", id + ".envelope"}));
    EXPECT_EQ(dir.read(id + ".content"), "hello");
    EXPECT_EQ(ids_after_cut(files, keep::flushed_only), names{id});
}

TEST(journal, is_kept_when_the_last_flush_fails) {
    temporary_directory dir;
    test_filesystem files;
    std::string id;
    {
        opened_store s(dir.path(), with_checkpoint(std::chrono::hours(1)), &files);
        id = store_message(*s, "hello");
        files.fail_kind("fsync", EIO);
        s->close();
        files.stop_failing();
    }
    EXPECT_FALSE(dir.hidden_names().empty());
    EXPECT_EQ(ids_after_cut(files, keep::flushed_only), names{id});
    opened_store again(dir.path(), {}, &files);
    EXPECT_EQ(*ready_ids(*again), std::vector<std::string>{id});
}

TEST(journal, of_two_processes_in_one_directory) {
    temporary_directory dir;
    test_filesystem files;
    settings config = with_small_segments(std::chrono::milliseconds(1));
    opened_store server(dir.path(), config, &files), client(dir.path(), config, &files);
    constexpr int count = 200;
    std::atomic<bool> all_stored{false};
    std::thread writer([&] {
        for (int i = 0; i < count; ++i)
            store_message(*server, std::to_string(i));
        all_stored = true;
    });
    std::atomic<int> sent{0};
    auto send = [&](store& s) {
        for (bool last = false; !last;) {
            last = all_stored;
            auto ids = ready_ids(s);
            s.announce(*ids);
            for (const std::string& id : *ids)
                if (auto taken = s.claim(id); taken.has_value()) {
                    ++sent;
                    EXPECT_TRUE(s.finish(std::move(*taken)).has_value());
                    last = false;
                }
        }
    };
    std::thread one([&] { send(*client); }), two([&] { send(*server); });
    writer.join();
    one.join();
    two.join();
    EXPECT_EQ(sent, count); // each exactly once
    EXPECT_EQ(dir.names(), names{});
    server->close();
    client->close();
    EXPECT_EQ(dir.hidden_names(), names{});
}

TEST(journal, many_threads_use_one_store) {
    temporary_directory dir;
    settings config = with_small_segments(std::chrono::milliseconds(1));
    config.journal_size = 512 << 10;
    opened_store s(dir.path(), config);
    std::vector<std::thread> threads;
    for (int t = 0; t < 6; ++t)
        threads.emplace_back([&, t] {
            for (int i = 0; i < 40; ++i) {
                std::string id =
                    store_message(*s, std::string(static_cast<std::size_t>(100 + t * 30'000), 'x'));
                if (i % 3 == 0)
                    forward(*s, id);
                if (i % 10 == 0) {
                    EXPECT_TRUE(ready_ids(*s).has_value());
                }
            }
        });
    for (auto& t : threads)
        t.join();
    EXPECT_EQ(ready_ids(*s)->size(), 6u * 26);
}

TEST(journal, is_not_taken_from_the_living) {
    temporary_directory dir;
    opened_store first(dir.path());
    std::string id = store_message(*first, "hello");
    auto held = first->claim(id);
    names before = dir.hidden_names();
    ASSERT_FALSE(before.empty());
    opened_store second(dir.path());
    EXPECT_EQ(ready_ids(*second)->size(), 0u);
    EXPECT_EQ(dir.hidden_names(), before);
    EXPECT_TRUE(dir.has(id + ".envelope.busy"));
}

} // namespace spool
