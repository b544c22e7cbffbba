#include "spool/directory_index.hpp"

#include "spool/spool_test.hpp"
#include "spool/test_filesystem.hpp"

#include <gtest/gtest.h>

#include <cerrno>
#include <filesystem>
#include <random>
#include <string>
#include <thread>
#include <vector>

namespace spool::test {

using ids = std::vector<std::string>;

class directory_index_test : public testing::Test {
protected:
    void put(const std::string& name) const { directory.write(name, "X"); }
    void rename(const std::string& from, const std::string& to) const {
        std::filesystem::rename(directory / from, directory / to);
    }
    void remove(const std::string& name) const { std::filesystem::remove(directory / name); }
    std::size_t times_read() const { return files.count("list"); }

    temporary_directory directory;
    test_filesystem files;
};

TEST_F(directory_index_test, follows_what_others_do) {
    put("emailrelay.1.100.2.envelope");
    put("emailrelay.1.100.2.content");
    opened_store s(directory.path(), {}, &files);
    std::size_t before = times_read();
    EXPECT_EQ(*ready_ids(*s), ids{"emailrelay.1.100.2"});

    put("foo.envelope");
    put("emailrelay.1.100.10.envelope.new");
    rename("emailrelay.1.100.10.envelope.new", "emailrelay.1.100.10.envelope");
    put("emailrelay.7.99.1.envelope.bad");
    put(".emailrelay-restore.emailrelay.7.99.2.envelope");
    std::filesystem::create_hard_link(directory / "foo.envelope", directory / "emailrelay.9.100.2.envelope");
    std::filesystem::create_directory(directory / "bar.envelope");
    EXPECT_EQ(*ready_ids(*s),
              (ids{"emailrelay.1.100.2", "emailrelay.9.100.2", "emailrelay.1.100.10", "bar", "foo"}));

    rename("emailrelay.1.100.2.envelope", "emailrelay.1.100.2.envelope.busy");
    remove("foo.envelope");
    rename("emailrelay.7.99.1.envelope.bad", "emailrelay.7.99.1.envelope");
    EXPECT_EQ(*ready_ids(*s), (ids{"emailrelay.7.99.1", "emailrelay.9.100.2", "emailrelay.1.100.10", "bar"}));

    rename("emailrelay.1.100.2.envelope.busy", "emailrelay.1.100.2.envelope");
    std::filesystem::remove(directory / "bar.envelope");
    EXPECT_EQ(*ready_ids(*s),
              (ids{"emailrelay.7.99.1", "emailrelay.1.100.2", "emailrelay.9.100.2", "emailrelay.1.100.10"}));
    EXPECT_EQ(times_read(), before);
}

TEST_F(directory_index_test, follows_our_own_messages_from_state_to_state) {
    opened_store s(directory.path(), {}, &files);
    std::size_t before = times_read();
    std::string id = store_message(*s, "text");
    EXPECT_EQ(*ready_ids(*s), ids{id});
    auto claimed = s->claim(id);
    ASSERT_TRUE(claimed.has_value());
    EXPECT_EQ(*ready_ids(*s), ids{});
    ASSERT_TRUE(s->release(std::move(*claimed)).has_value());
    EXPECT_EQ(*ready_ids(*s), ids{id});
    claimed = s->claim(id);
    ASSERT_TRUE(s->fail(std::move(*claimed), "no", 550).has_value());
    EXPECT_EQ(*ready_ids(*s), ids{});
    ASSERT_TRUE(s->unfail(id).has_value());
    EXPECT_EQ(*ready_ids(*s), ids{id});
    ASSERT_TRUE(s->hold(id).has_value());
    EXPECT_EQ(*ready_ids(*s), ids{});
    ASSERT_TRUE(s->let_go(id).has_value());
    claimed = s->claim(id);
    ASSERT_TRUE(s->finish(std::move(*claimed)).has_value());
    EXPECT_EQ(*ready_ids(*s), ids{});
    EXPECT_EQ(times_read(), before);
}

TEST_F(directory_index_test, shows_the_messages_of_one_moment) {
    for (const char* id :
         {"emailrelay.1.1.1", "emailrelay.1.1.2", "emailrelay.1.1.3", "emailrelay.1.1.4", "foo"})
        put(std::string(id) + ".envelope");
    opened_store s(directory.path(), {}, &files);
    auto ready = s->ready();
    ASSERT_TRUE(ready.has_value());
    EXPECT_EQ(ready->count(), 5u);
    EXPECT_EQ(ready->next(1), ids{"emailrelay.1.1.1"});
    put("emailrelay.1.1.0.envelope"); // earlier, later, and among the foreign ones
    put("emailrelay.1.2.1.envelope");
    put("bar.envelope");
    remove("emailrelay.1.1.2.envelope");
    rename("emailrelay.1.1.1.envelope", "emailrelay.1.1.1.envelope.busy");
    rename("emailrelay.1.1.1.envelope.busy", "emailrelay.1.1.1.envelope");
    EXPECT_EQ(ready->next(1), ids{"emailrelay.1.1.3"});
    EXPECT_EQ(ready_ids(*s, look::at_the_directory)->size(), 7u); // it does not disturb
    EXPECT_EQ(ready->next(10), (ids{"emailrelay.1.1.4", "foo"}));
    EXPECT_EQ(ready->next(10), ids{});
    EXPECT_EQ(s->ready()->count(), 7u);
}

TEST_F(directory_index_test, reads_the_directory_when_changes_were_lost) {
    put("emailrelay.1.1.1.envelope");
    opened_store s(directory.path(), {}, &files);
    EXPECT_EQ(ready_ids(*s)->size(), 1u);
    std::size_t before = times_read();
    files.lose_changes(true);
    put("emailrelay.1.1.2.envelope");
    rename("emailrelay.1.1.1.envelope", "emailrelay.1.1.1.envelope.bad");
    EXPECT_EQ(*ready_ids(*s), ids{"emailrelay.1.1.2"});
    EXPECT_EQ(times_read(), before + 1);
    files.lose_changes(false);
    put("emailrelay.1.1.3.envelope");
    EXPECT_EQ(*ready_ids(*s), (ids{"emailrelay.1.1.2", "emailrelay.1.1.3"}));
    EXPECT_EQ(times_read(), before + 1);
}

TEST_F(directory_index_test, reads_the_directory_on_demand) {
    opened_store s(directory.path(), {}, &files);
    std::size_t before = times_read();
    EXPECT_TRUE(ready_ids(*s, look::now_and_then).has_value());
    EXPECT_EQ(times_read(), before);
    EXPECT_TRUE(ready_ids(*s, look::at_the_directory).has_value());
    EXPECT_EQ(times_read(), before + 1);
}

TEST_F(directory_index_test, reads_the_directory_each_time_where_it_cannot_be_watched) {
    files.fail_kind("watch", EMFILE);
    opened_store s(directory.path(), {}, &files);
    std::size_t before = times_read();
    put("emailrelay.1.1.1.envelope");
    EXPECT_EQ(*ready_ids(*s), ids{"emailrelay.1.1.1"});
    remove("emailrelay.1.1.1.envelope");
    put("foo.envelope");
    EXPECT_EQ(*ready_ids(*s), ids{"foo"});
    EXPECT_EQ(times_read(), before + 2);
    std::size_t said = 0;
    for (const std::string& line : s.log.lines())
        said += line.find("spool: the whole directory is read each time: watch: too many open files") !=
                line.npos;
    EXPECT_EQ(said, 1u);

    files.stop_failing(); // from then on it is watched
    EXPECT_EQ(*ready_ids(*s), ids{"foo"});
    EXPECT_EQ(*ready_ids(*s), ids{"foo"});
    EXPECT_EQ(times_read(), before + 3);
}

TEST_F(directory_index_test, a_directory_that_cannot_be_read_is_an_error_and_read_again) {
    opened_store s(directory.path(), {}, &files);
    put("foo.envelope");
    files.fail_kind("list", EIO);
    EXPECT_TRUE(ready_ids(*s, look::at_the_directory).has_error());
    EXPECT_EQ(*ready_ids(*s), ids{"foo"}); // watched all the time
    files.stop_failing();
}

TEST_F(directory_index_test, knows_other_names) {
    put("emailrelay.1.1.1.envelope");
    put("emailrelay.1.1.1.content");
    put(".hidden");
    std::filesystem::create_directory(directory / "bob");
    opened_store s(directory.path(), {}, &files);
    std::size_t before = times_read();
    EXPECT_EQ(*s->other_names(), ids{"bob"});
    std::filesystem::create_directory(directory / "alice");
    EXPECT_EQ(*s->other_names(), (ids{"alice", "bob"}));
    std::filesystem::remove(directory / "bob");
    EXPECT_EQ(*s->other_names(), ids{"alice"});
    EXPECT_EQ(times_read(), before);
}

TEST_F(directory_index_test, without_a_watch_the_directory_is_read_when_asked) {
    settings seldom;
    seldom.watch = false;
    opened_store s(directory.path(), seldom, &files);
    put("foo.envelope");
    std::filesystem::create_directory(directory / "bob");
    EXPECT_EQ(*ready_ids(*s), ids{"foo"});
    EXPECT_EQ(*s->other_names(), ids{"bob"});
    EXPECT_EQ(files.count("watch"), 0u);
}

// Whatever happens, and while it happens, asking gives what is there.
TEST_F(directory_index_test, agrees_with_the_directory) {
    opened_store first(directory.path(), {}, &files), second(directory.path());
    for (unsigned round = 0; round < 5; ++round) {
        std::vector<std::thread> others;
        for (unsigned part = 0; part < 2; ++part)
            others.emplace_back([&, part] {
                std::mt19937 random(100 * round + part);
                for (int i = 0; i < 400; ++i) {
                    std::string id =
                        "emailrelay." + std::to_string(part) + ".5." + std::to_string(random() % 20);
                    std::string ready = directory / (id + ".envelope"), busy = ready + ".busy";
                    std::error_code ignored;
                    if (random() % 2 == 0)
                        std::filesystem::rename(ready, busy, ignored);
                    else if (random() % 2 == 0)
                        std::filesystem::rename(busy, ready, ignored);
                    else
                        put(id + ".envelope");
                    if (random() % 8 == 0)
                        std::filesystem::remove(ready, ignored);
                }
            });
        for (int i = 0; i < 50; ++i)
            (void)ready_ids(*first, i % 10 == 0 ? look::at_the_directory : look::at_changes);
        for (std::thread& other : others)
            other.join();
        ids expected;
        for (const std::string& name : directory.names())
            if (std::string_view id = id_of(name, envelope_suffix); !id.empty())
                expected.emplace_back(id);
        std::sort(expected.begin(), expected.end(), goes_before);
        EXPECT_EQ(*ready_ids(*first), expected);
        EXPECT_EQ(*ready_ids(*second), expected);
    }
}

} // namespace spool::test
