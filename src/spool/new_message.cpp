// A message being received: its octets wait in memory, and only when there are many of them go to the content
// file before the commit. That file is announced in the journal before it is made, so that what a killed
// process leaves can be told from the files of others.
#include "spool/new_message.hpp"

#include "spool/names.hpp"

#include <boost/system/errc.hpp>

namespace spool {

base::result<void> new_message::state::make_file() {
    constexpr int attempts = 100;
    for (int i = 0; i < attempts; ++i) {
        auto known = owner->records.append_and_wait(record_kind::begin, id, urgency::written);
        if (known.has_error())
            return known.error();
        auto made = owner->dir.open(name_of(id, content_suffix), os::open_mode::create);
        if (made.has_value()) {
            content = std::move(*made);
            return {};
        }
        owner->records.append(record_kind::end, id, urgency::written);
        if (made.error().code != boost::system::errc::file_exists)
            return made.error();
        id = owner->ids.next();
    }
    return base::make_error(EEXIST, "create " + name_of(id, content_suffix));
}

base::result<void> new_message::state::write_held() {
    if (!content)
        if (auto made = make_file(); made.has_error())
            return made;
    auto written = owner->dir.files().write(content, held);
    if (written.has_error())
        return base::error{written.error().code, "write " + name_of(id, content_suffix)};
    held.clear();
    return {};
}

base::result<void> new_message::state::take_next_name() {
    if (!content) {
        id = owner->ids.next();
        return {};
    }
    const std::string next = owner->ids.next();
    auto known = owner->records.append_and_wait(record_kind::begin, next, urgency::written);
    if (known.has_error())
        return known.error();
    auto moved = owner->dir.rename_new(name_of(id, content_suffix), name_of(next, content_suffix));
    owner->records.append(record_kind::end, moved.has_error() ? next : id, urgency::written);
    if (moved.has_value())
        id = next;
    return moved;
}

void new_message::state::remove_file() {
    if (!content)
        return;
    content.reset();
    (void)owner->dir.remove(name_of(id, content_suffix)); // missing is as good
    owner->records.append(record_kind::end, id, urgency::riding);
}

new_message::new_message(std::unique_ptr<state> s) : state_(std::move(s)) {}
new_message::new_message(new_message&&) noexcept = default;

new_message& new_message::operator=(new_message&& other) noexcept {
    new_message old(std::move(*this));
    state_ = std::move(other.state_);
    return *this;
}

new_message::~new_message() {
    if (state_)
        state_->remove_file();
}

const std::string& new_message::id() const noexcept {
    return state_->id;
}

void new_message::append(std::span<const char> bytes) {
    state_->size += bytes.size();
    if (!state_->failure) // otherwise it is lost anyway, and memory is spared
        state_->held.append(bytes.data(), bytes.size());
}

bool new_message::needs_write() const noexcept {
    return state_->held.size() > state_->owner->config.hold_in_memory;
}

void new_message::write() {
    if (state_->failure)
        return;
    auto written = state_->write_held();
    if (written.has_error()) {
        state_->failure = written.error();
        state_->held.clear();
        state_->held.shrink_to_fit();
    }
}

std::uint64_t new_message::size() const noexcept {
    return state_->size;
}

} // namespace spool
