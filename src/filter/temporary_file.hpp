// A file that is being written beside a message's content; goes with its owner unless it was put to use.
//
// All of it blocks, the destructor too unless there is nothing to remove.
#pragma once

#include "filter/message_files.hpp"

#include <span>
#include <string>
#include <string_view>

namespace filter {

class temporary_file {
public:
    // Nothing is made before make().
    temporary_file(const message_files& message, std::string_view suffix)
        : message_(message), suffix_(suffix), name_(message.content_name() + std::string(suffix)) {}
    ~temporary_file() { remove(); }
    temporary_file(const temporary_file&) = delete;
    temporary_file& operator=(const temporary_file&) = delete;

    bool exists() const noexcept { return exists_; }
    const os::file& file() const noexcept { return file_; }

    base::result<void> make() {
        spool::folder& directory = message_.directory();
        (void)directory.remove(name_); // left by somebody
        auto made = directory.open(name_, os::open_mode::create);
        if (made.has_error())
            return made.error();
        file_ = std::move(*made);
        exists_ = true;
        return {};
    }

    base::result<void> write(std::span<const char> bytes) {
        return message_.directory().files().write(file_, bytes);
    }

    // It takes the place of the content.
    base::result<void> replace_content() {
        exists_ = false;
        return message_.replace_content(suffix_, std::move(file_));
    }

    void remove() {
        if (!std::exchange(exists_, false))
            return;
        file_.reset();
        (void)message_.directory().remove(name_);
    }

private:
    const message_files& message_;
    std::string_view suffix_;
    std::string name_;
    os::file file_;
    bool exists_ = false;
};

} // namespace filter
