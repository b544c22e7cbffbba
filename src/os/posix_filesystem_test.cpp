#include "os/filesystem.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <set>
#include <stdlib.h>
#include <sys/stat.h>

namespace os {

namespace {

namespace errc = boost::system::errc;

class filesystem_test : public ::testing::Test {
protected:
    filesystem_test() {
        std::string name = (std::filesystem::temp_directory_path() / "filesystem_test.XXXXXX").string();
        path = ::mkdtemp(name.data());
        directory = std::move(*files->open_directory(path));
    }
    ~filesystem_test() override { std::filesystem::remove_all(path); }

    file make(const std::string& name, const std::string& text = "") {
        auto made = files->open(directory, name, open_mode::create);
        EXPECT_TRUE(made.has_value());
        EXPECT_TRUE(files->write(*made, text).has_value());
        return std::move(*made);
    }
    std::string text_of(const std::string& name) {
        auto opened = files->open(directory, name, open_mode::read);
        std::string text(100, '\0');
        text.resize(*files->read(*opened, text));
        return text;
    }

    std::unique_ptr<filesystem> files = make_filesystem();
    std::string path;
    file directory;
};

} // namespace

TEST_F(filesystem_test, makes_files_once) {
    file made = make("a", "hello");
    EXPECT_EQ(files->open(directory, "a", open_mode::create).error().code, errc::file_exists);
    EXPECT_EQ(text_of("a"), "hello");
    EXPECT_EQ(files->status(directory, "a")->size, 5u);
    EXPECT_TRUE(files->status(directory, "a")->same_file(*files->status(made)));
    struct stat about {};
    ::stat((path + "/a").c_str(), &about);
    EXPECT_EQ(about.st_mode & 07117, 0u); // never executable, nothing for others
}

TEST_F(filesystem_test, reads_and_writes_at_offsets) {
    file f = make("a", "0123456789");
    EXPECT_TRUE(files->write_at(f, 2, std::string_view("xx")).has_value());
    std::string text(4, '\0');
    EXPECT_EQ(*files->read_at(f, 1, text), 4u);
    EXPECT_EQ(text, "1xx4");
    EXPECT_EQ(*files->read_at(f, 8, text), 2u);
    EXPECT_EQ(*files->read_at(f, 100, text), 0u);
    auto more = files->open(directory, "a", open_mode::append);
    EXPECT_TRUE(files->write(*more, std::string_view("end")).has_value());
    EXPECT_EQ(text_of("a"), "01xx456789end");
    EXPECT_TRUE(files->flush(f).has_value());
    EXPECT_TRUE(files->flush_data(f).has_value());
    EXPECT_TRUE(files->flush(directory).has_value());
    EXPECT_TRUE(files->close(std::move(f)).has_value());
}

TEST_F(filesystem_test, never_follows_links) {
    make("target", "x");
    std::filesystem::create_symlink(path + "/target", path + "/link");
    std::filesystem::create_symlink(path + "/nowhere", path + "/dangling");
    EXPECT_EQ(files->open(directory, "link", open_mode::read).error().code,
              errc::too_many_symbolic_link_levels);
    EXPECT_TRUE(files->open(directory, "dangling", open_mode::create).has_error());
    EXPECT_EQ(files->status(directory, "link")->kind, file_status::type::other);
}

TEST_F(filesystem_test, is_not_held_up_by_a_pipe) {
    ASSERT_EQ(::mkfifo((path + "/pipe").c_str(), 0600), 0);
    auto opened = files->open(directory, "pipe", open_mode::read);
    ASSERT_TRUE(opened.has_value());
    EXPECT_EQ(files->status(*opened)->kind, file_status::type::other);
}

TEST_F(filesystem_test, renames) {
    make("a", "a");
    make("b", "b");
    EXPECT_EQ(files->rename_new(directory, "a", "b").error().code, errc::file_exists);
    EXPECT_EQ(text_of("b"), "b");
    EXPECT_TRUE(files->rename_new(directory, "a", "c").has_value());
    EXPECT_TRUE(files->rename(directory, "c", "b").has_value());
    EXPECT_EQ(text_of("b"), "a");
    EXPECT_EQ(files->rename(directory, "gone", "b").error().message(),
              "rename gone: no such file or directory");
    EXPECT_TRUE(files->remove(directory, "b").has_value());
    EXPECT_EQ(files->remove(directory, "b").error().code, errc::no_such_file_or_directory);
}

TEST_F(filesystem_test, lists_again_and_again) {
    make("a");
    make(".hidden");
    for (int i = 0; i < 2; ++i) {
        std::set<std::string> names;
        ASSERT_TRUE(files->list(directory, [&](std::string_view name) { names.emplace(name); }).has_value());
        EXPECT_EQ(names, (std::set<std::string>{"a", ".hidden"}));
    }
}

TEST_F(filesystem_test, locks_belong_to_the_open_file) {
    make("a");
    auto one = files->open(directory, "a", open_mode::read_write);
    auto two = files->open(directory, "a", open_mode::read_write);
    auto reader = files->open(directory, "a", open_mode::read);
    EXPECT_TRUE(*files->try_lock(*one, true));
    EXPECT_TRUE(*files->try_lock(*one, true));
    EXPECT_FALSE(*files->try_lock(*two, true));
    EXPECT_TRUE(*files->locked_by_others(*reader));
    EXPECT_FALSE(*files->locked_by_others(*one));
    one->reset();
    EXPECT_FALSE(*files->locked_by_others(*reader));
    EXPECT_TRUE(*files->try_lock(*reader, false));
    EXPECT_FALSE(*files->try_lock(*two, true));
}

TEST_F(filesystem_test, locks_directories) {
    auto one = files->open_directory(path), two = files->open_directory(path);
    EXPECT_TRUE(*files->lock_directory(*one, true));
    EXPECT_FALSE(*files->lock_directory(*two, false));
    one->reset();
    EXPECT_TRUE(*files->lock_directory(*two, false));
}

TEST_F(filesystem_test, says_what_is_wrong) {
    EXPECT_EQ(files->open_directory(path + "/gone").error().code, errc::no_such_file_or_directory);
    EXPECT_EQ(files->open(directory, "gone", open_mode::read).error().message(),
              "open gone: no such file or directory");
    EXPECT_GT(*files->free_space(directory), 0u);
}

} // namespace os
