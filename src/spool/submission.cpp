#include "spool/submission.hpp"

#include "spool/names.hpp"

#include <boost/system/errc.hpp>

#include <array>
#include <cerrno>
#include <utility>

namespace spool {

submission::~submission() {
    if (published_)
        return;
    for (const message& m : messages_)
        remove(m);
}

base::result<void> submission::begin() {
    constexpr int attempts = 100; // another process with the same pid (in a container) may use the same names
    for (int i = 0; i < attempts; ++i) {
        message m{.id = ids_.next()};
        auto made = dir_.open(content_name(m), os::open_mode::create);
        if (made.has_value()) {
            content_ = std::move(*made);
            messages_.push_back(std::move(m));
            return {};
        }
        if (made.error().code != boost::system::errc::file_exists)
            return made.error();
    }
    return base::make_error(EEXIST, "create content file");
}

base::result<void> submission::append(std::span<const char> bytes) {
    auto written = dir_.files().write(content_, bytes);
    if (written.has_error())
        return base::error{written.error().code, "write " + content_name(messages_.back())};
    return {};
}

base::result<void> submission::append_from_first(std::uint64_t offset) {
    const std::string name = content_name(messages_.front());
    auto first = dir_.open(name, os::open_mode::read);
    if (first.has_error())
        return first.error();
    std::array<char, 64 * 1024> buffer;
    for (;;) {
        auto got = dir_.files().read_at(*first, offset, buffer);
        if (got.has_error())
            return base::error{got.error().code, "read " + name};
        if (*got == 0)
            return {};
        if (auto written = append(std::span(buffer).first(*got)); written.has_error())
            return written;
        offset += *got;
    }
}

base::result<void> submission::end(const mail::envelope& envelope) {
    message& m = messages_.back();
    auto outcome = dir_.files().flush(content_);
    auto closed = dir_.files().close(std::move(content_));
    if (outcome.has_value())
        outcome = std::move(closed);
    if (outcome.has_error())
        return base::error{outcome.error().code, "write " + content_name(m)};
    m.envelope = mail::format_envelope(envelope);
    outcome = dir_.write_new(name_of(m.id, new_suffix), m.envelope, true);
    m.ended = outcome.has_value();
    return outcome;
}

base::result<void> submission::publish() {
    return publish_each([this](message& m) -> base::result<void> {
        auto renamed = dir_.rename_new(name_of(m.id, new_suffix), name_of(m.id, envelope_suffix));
        m.visible = renamed.has_value();
        return renamed;
    });
}

base::result<void> submission::publish_in_sub_directories() {
    envelope_copies copies(dir_);
    auto outcome = publish_each([this, &copies](message& m) -> base::result<void> {
        if (auto copied = copies.make(m.id, m.envelope); copied.has_error())
            return copied;
        return dir_.remove(name_of(m.id, new_suffix));
    });
    if (outcome.has_error())
        copies.undo();
    return outcome;
}

// The directory is flushed before the messages are shown too: what is visible then has its content in any
// case.
template <class Publish>
base::result<void> submission::publish_each(Publish publish_one) {
    if (auto flushed = dir_.flush(); flushed.has_error())
        return flushed;
    for (message& m : messages_)
        if (auto done = publish_one(m); done.has_error())
            return done;
    if (auto flushed = dir_.flush(); flushed.has_error())
        return flushed;
    published_ = true;
    return {};
}

std::vector<std::string> submission::ids() const {
    std::vector<std::string> all;
    for (const message& m : messages_)
        all.push_back(m.id);
    return all;
}

std::string submission::content_name(const message& m) const {
    return name_of(m.id, content_suffix);
}

void submission::remove(const message& m) {
    if (m.visible) {
        // Once it is taken for forwarding it is the forwarder's, and so is its content.
        if (dir_.remove(name_of(m.id, envelope_suffix)).has_error())
            return;
    } else if (m.ended) {
        (void)dir_.remove(name_of(m.id, new_suffix));
    }
    (void)dir_.remove(content_name(m));
}

} // namespace spool
