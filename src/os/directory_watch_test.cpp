#include "os/directory_watch.hpp"

#include "os/filesystem.hpp"

#include <gtest/gtest.h>

#include <boost/system/errc.hpp>

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace os {

using change = directory_watch::change;
using state = directory_watch::state;
using changes = std::vector<std::string>;

class directory_watch_test : public testing::Test {
protected:
    // In memory: known to be watched, and quick.
    directory_watch_test() {
        std::string pattern = "/dev/shm/emailrelay-watch-XXXXXX";
        path_ = ::mkdtemp(pattern.data());
        directory_ = std::move(*files_->open_directory(path_));
    }
    ~directory_watch_test() override {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }
    std::unique_ptr<directory_watch> watch() {
        auto made = files_->watch(directory_);
        EXPECT_TRUE(made.has_value()) << made.error().message();
        return std::move(*made);
    }
    std::string operator/(const std::string& name) const { return path_ + "/" + name; }
    void write(const std::string& name) const { std::ofstream(*this / name) << "text"; }
    void rename(const std::string& from, const std::string& to) const {
        std::filesystem::rename(*this / from, *this / to);
    }
    static changes read(directory_watch& from, state expected = state::following) {
        changes all;
        auto outcome = from.read([&](change what, std::string_view name) {
            all.push_back((what == change::came ? "+" : "-") + std::string(name));
        });
        EXPECT_EQ(outcome, expected);
        return all;
    }

    std::unique_ptr<filesystem> files_ = make_filesystem();
    std::string path_;
    file directory_;
};

TEST_F(directory_watch_test, tells_of_what_comes_and_goes_in_order) {
    write("before");
    auto w = watch();
    EXPECT_EQ(read(*w), changes{});
    write("a");
    rename("a", "b");
    std::filesystem::create_hard_link(*this / "b", *this / "c");
    std::filesystem::create_symlink("nowhere", *this / "d");
    std::filesystem::create_directory(*this / "e");
    std::filesystem::remove(*this / "before");
    std::filesystem::rename(*this / "b", *this / "e/b");
    std::filesystem::rename(*this / "e/b", *this / "d"); // over another
    EXPECT_EQ(read(*w), (changes{"+a", "-a", "+b", "+c", "+d", "+e", "-before", "-b", "+d"}));
    EXPECT_EQ(read(*w), changes{});
}

TEST_F(directory_watch_test, tells_of_long_names_and_of_more_than_one_buffer_full) {
    auto w = watch();
    changes expected;
    for (int i = 0; i < 1000; ++i) {
        std::string name = std::string(250, 'n') + std::to_string(1000 + i);
        write(name);
        expected.push_back("+" + name);
    }
    EXPECT_EQ(read(*w), expected);
}

TEST_F(directory_watch_test, says_when_the_kernel_lost_something_and_goes_on) {
    std::size_t kept = 0;
    std::ifstream("/proc/sys/fs/inotify/max_queued_events") >> kept;
    if (kept == 0 || kept > 1'000'000)
        GTEST_SKIP() << "the kernel keeps " << kept << " changes";
    auto w = watch();
    write("a");
    for (std::size_t i = 0; i <= kept / 2; ++i)
        rename(i % 2 == 0 ? "a" : "b", i % 2 == 0 ? "b" : "a");
    read(*w, state::overrun);
    write("c");
    EXPECT_EQ(read(*w), changes{"+c"});
}

TEST_F(directory_watch_test, wakes_who_waits) {
    auto w = watch();
    std::thread waiting([&] { w->wait(); });
    write("a");
    waiting.join();
    EXPECT_EQ(read(*w), changes{"+a"});

    std::thread again([&] { w->wait(); });
    w->end();
    again.join();
    w->wait(); // not any more
}

TEST_F(directory_watch_test, follows_a_directory_that_is_renamed) {
    auto w = watch();
    std::string other = path_ + "-other";
    std::filesystem::rename(path_, other);
    path_ = other;
    write("a");
    EXPECT_EQ(read(*w), changes{"+a"});
}

TEST_F(directory_watch_test, ends_with_the_directory) {
    auto w = watch();
    std::filesystem::remove(path_);
    directory_.reset(); // it was held open so far
    EXPECT_EQ(read(*w, state::ended), changes{});
    w->wait(); // for nothing: there is nobody left to tell
}

TEST_F(directory_watch_test, refuses_what_may_change_unheard) {
    auto proc = files_->open_directory("/proc");
    ASSERT_TRUE(proc.has_value());
    auto made = files_->watch(*proc);
    ASSERT_TRUE(made.has_error());
    EXPECT_EQ(made.error().code, boost::system::errc::operation_not_supported);
}

} // namespace os
