// A submission with every operation made to fail, and the power failing after every one.
#include "spool/submission.hpp"

#include "spool/names.hpp"
#include "spool/spool_test.hpp"
#include "spool/test_filesystem.hpp"

#include <gmock/gmock.h>

namespace spool {

using namespace test;

namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using names = std::set<std::string>;

struct world {
    explicit world(const std::string& path)
        : dir(files, std::move(*files.open_directory(path)), path), ids(4711) {}
    test_filesystem files;
    folder dir;
    id_source ids;
};

base::result<void> submit(submission& s, std::size_t copies, bool in_sub_directories = false) {
    for (std::size_t i = 0; i < copies; ++i) {
        if (auto done = s.begin(); done.has_error())
            return done;
        if (auto done = s.append(std::string("header ") + std::to_string(i) + "\r\n\r\n"); done.has_error())
            return done;
        if (auto done = i == 0 ? s.append(std::string(100'000, 'x')) : s.append_from_first(12);
            done.has_error())
            return done;
        if (auto done = s.end(envelope_to(std::to_string(i) + "@example.com")); done.has_error())
            return done;
    }
    return in_sub_directories ? s.publish_in_sub_directories() : s.publish();
}

std::string content(std::size_t i) {
    return "header " + std::to_string(i) + "\r\n\r\n" + std::string(100'000, 'x');
}

TEST(submission, stores_messages) {
    temporary_directory dir;
    world w(dir.path());
    submission s(w.dir, w.ids);
    ASSERT_TRUE(submit(s, 2).has_value());
    ASSERT_EQ(s.ids().size(), 2U);
    for (std::size_t i = 0; i < 2; ++i) {
        EXPECT_EQ(dir.read(s.ids()[i] + ".content"), content(i));
        EXPECT_EQ(dir.read(s.ids()[i] + ".envelope"),
                  mail::format_envelope(envelope_to(std::to_string(i) + "@example.com")));
    }
    EXPECT_EQ(dir.names().size(), 4U);
}

TEST(submission, nothing_is_left_when_it_is_given_up) {
    temporary_directory dir;
    world w(dir.path());
    {
        submission s(w.dir, w.ids);
        ASSERT_TRUE(s.begin().has_value());
        ASSERT_TRUE(s.append(std::string("x")).has_value());
        EXPECT_THAT(dir.names(), ElementsAre(s.ids()[0] + ".content"));
        ASSERT_TRUE(s.end(envelope_to("x")).has_value());
        EXPECT_THAT(dir.names(), ElementsAre(s.ids()[0] + ".content", s.ids()[0] + ".envelope.new"));
        ASSERT_TRUE(s.begin().has_value());
    }
    EXPECT_THAT(dir.names(), IsEmpty());
}

TEST(submission, a_taken_name_is_left_alone) {
    temporary_directory dir;
    world w(dir.path());
    id_source same(4711);
    std::string now = same.next(), next = w.ids.next();
    // Whatever second it is when they are used: the names of a few seconds from now on.
    auto second = parse_name(now)->time;
    for (std::uint64_t t = second; t < second + 30; ++t)
        dir.write(format_name({4711, t, 2}) + ".content", "other");
    names before = dir.names();
    submission s(w.dir, w.ids);
    ASSERT_TRUE(submit(s, 1).has_value());
    EXPECT_EQ(parse_name(s.ids()[0])->sequence, 3U);
    for (const std::string& name : before)
        EXPECT_EQ(dir.read(name), "other");
}

TEST(submission, in_sub_directories) {
    temporary_directory dir;
    for (const char* name : {"bob", ".hidden", "postmaster"})
        std::filesystem::create_directory(dir / name);
    std::filesystem::create_directory_symlink(dir / "bob", dir / "link");
    dir.write("file", "");
    world w(dir.path());
    submission s(w.dir, w.ids);
    ASSERT_TRUE(submit(s, 1, true).has_value());
    std::string id = s.ids()[0];
    EXPECT_EQ(dir.names(), (names{".hidden", "bob", "file", id + ".content", "link", "postmaster"}));
    for (const char* name : {"bob", ".hidden", "postmaster"}) {
        EXPECT_EQ(dir.read(std::string(name) + "/" + id + ".envelope"),
                  mail::format_envelope(envelope_to("0@example.com")));
        EXPECT_FALSE(dir.has(std::string(name) + "/" + id + ".envelope.new"));
    }
}

TEST(submission, without_sub_directories) {
    temporary_directory dir;
    world w(dir.path());
    {
        submission s(w.dir, w.ids);
        auto outcome = submit(s, 1, true);
        ASSERT_TRUE(outcome.has_error());
        EXPECT_EQ(outcome.error().message(), "no sub-directories to copy into: check permissions");
    }
    EXPECT_THAT(dir.names(), IsEmpty());
}

// Every operation fails once; what is left is all or nothing.
void fail_everywhere(std::size_t copies, bool in_sub_directories) {
    for (std::size_t n = 0;; ++n) {
        SCOPED_TRACE(n);
        temporary_directory dir;
        std::size_t all = 2 * copies;
        if (in_sub_directories) {
            std::filesystem::create_directory(dir / "a");
            std::filesystem::create_directory(dir / "b");
            all = copies;
        }
        auto messages = [&] {
            names found = dir.names();
            found.erase("a");
            found.erase("b");
            return found;
        };
        auto copied = [&](const char* name) {
            std::size_t count = 0;
            for (const auto& entry : std::filesystem::directory_iterator(dir / name))
                count += entry.path().extension() == ".envelope" ? 1 : 100;
            return count;
        };
        world w(dir.path());
        w.files.fail_at(n, ENOSPC);
        bool stored = false;
        {
            submission s(w.dir, w.ids);
            auto outcome = submit(s, copies, in_sub_directories);
            stored = outcome.has_value();
            if (!stored) {
                EXPECT_NE(outcome.error().message().find("no space left on device"), std::string::npos)
                    << outcome.error().message();
            }
        }
        EXPECT_EQ(messages().size(), stored ? all : 0) << w.files.failed_operation();
        if (in_sub_directories) {
            EXPECT_EQ(copied("a"), stored ? copies : 0);
            EXPECT_EQ(copied("b"), stored ? copies : 0);
        }
        if (!w.files.has_failed()) {
            EXPECT_TRUE(stored);
            EXPECT_GT(n, 8U);
            return;
        }
    }
}

TEST(submission, every_failure_leaves_nothing) {
    fail_everywhere(1, false);
    fail_everywhere(3, false);
}

TEST(submission, every_failure_of_copying_leaves_nothing) {
    fail_everywhere(1, true);
    fail_everywhere(2, true);
}

TEST(submission, survives_a_power_cut) {
    temporary_directory dir;
    world w(dir.path());
    submission s(w.dir, w.ids);
    ASSERT_TRUE(submit(s, 2).has_value());
    for (auto what :
         {test_filesystem::keep::flushed_only, test_filesystem::keep::prefix, test_filesystem::keep::any})
        for (unsigned seed = 0; seed < 10; ++seed) {
            disk_state disk = w.files.power_cut(SIZE_MAX, what, seed);
            for (std::size_t i = 0; i < 2; ++i) {
                EXPECT_EQ(disk[s.ids()[i] + ".content"], content(i));
                EXPECT_EQ(disk[s.ids()[i] + ".envelope"], dir.read(s.ids()[i] + ".envelope"));
            }
            // At any time before: an envelope that can be seen is whole and has its content.
            for (std::size_t events = 0; events < w.files.events(); ++events) {
                disk_state half = w.files.power_cut(events, what, seed);
                for (std::size_t i = 0; i < 2; ++i)
                    if (half.contains(s.ids()[i] + ".envelope")) {
                        EXPECT_EQ(half[s.ids()[i] + ".envelope"], dir.read(s.ids()[i] + ".envelope"));
                        EXPECT_EQ(half[s.ids()[i] + ".content"], content(i));
                    }
            }
        }
}

} // namespace
} // namespace spool
