// Forwarding: an envelope is `.busy` and locked while a message is in hand (spec/spool.md sections 2, 5 and
// 6).
//
// The journal knows of a claim before the rename, so that a `.busy` left by a crash is known as ours. Files
// are found by name again at each step and appended to rather than written back: users' programs may have
// edited or replaced them meanwhile. Nothing is deleted before the message has been sent: a crash may repeat
// a delivery, never lose one.
#include "spool/claim.hpp"

#include "spool/names.hpp"

#include <boost/system/errc.hpp>

#include <cerrno>

namespace spool {

namespace errc = boost::system::errc;

base::result<void> claimed_message::state::claim() {
    base::result<void> outcome;
    number = owner->announced.take(id);
    if (number == 0) {
        number = owner->claims.next();
        auto known = owner->records.append_and_wait(record_kind::claim, id, urgency::flushed, number);
        if (known.has_error())
            outcome = known.error();
    }
    if (outcome.has_value())
        outcome = lock_envelope();
    if (outcome.has_value())
        outcome = read_files();
    if (outcome.has_error()) {
        content.reset();
        lock.reset();
        close_claim();
    }
    return outcome;
}

base::result<void> claimed_message::state::not_locked() {
    std::string name = name_of(id, envelope_suffix);
    owner->log.warning("cannot lock file: \"{}\"", name);
    return base::error{{}, "cannot lock file: " + name};
}

// Logs why the message is passed over, and gives it back if it was taken.
base::error claimed_message::state::ignored(const base::error& why, bool locked) {
    std::string path = owner->dir.path_of(name_of(id, envelope_suffix));
    owner->log.warning("ignoring \"{}\": {}", path, why.message());
    if (locked)
        if (auto back = rename_from_busy(envelope_suffix); back.has_error())
            owner->log.warning("cannot unlock file: {}", back.error().message());
    return why;
}

namespace {

bool is_unsupported(const base::error_code& code) {
    return code == errc::no_lock_available || code == errc::operation_not_supported ||
           code == errc::function_not_supported || code == errc::invalid_argument;
}

// An envelope that may only be read gets a shared lock, which says as well that somebody is there.
base::result<os::file> open_and_lock(folder& dir, const std::string& name) {
    bool exclusive = true;
    auto opened = dir.open(name, os::open_mode::read_write);
    if (opened.has_error() && (opened.error().code == errc::permission_denied ||
                               opened.error().code == errc::read_only_file_system)) {
        exclusive = false;
        opened = dir.open(name, os::open_mode::read);
    }
    if (opened.has_error())
        return opened;
    auto locked = dir.files().try_lock(*opened, exclusive);
    if (locked.has_error() && is_unsupported(locked.error().code))
        return opened; // a file system without locks: the rename alone has to do
    if (locked.has_error())
        return locked.error();
    if (!*locked)
        return base::make_error(EWOULDBLOCK, "lock " + name);
    return opened;
}

} // namespace

base::result<void> claimed_message::state::lock_envelope() {
    folder& dir = owner->dir;
    std::string ready = name_of(id, envelope_suffix), busy = name_of(id, busy_suffix);
    auto opened = open_and_lock(dir, ready);
    if (opened.has_error()) {
        const base::error& why = opened.error();
        if (why.code == errc::no_such_file_or_directory || why.code == errc::operation_would_block)
            return not_locked();
        return ignored({why.code, "cannot read envelope file"}, false);
    }
    auto about = dir.files().status(*opened);
    if (about.has_error())
        return ignored(about.error(), false);
    if (about->kind != os::file_status::type::regular)
        return ignored({{}, "cannot read envelope file: not a file"}, false);

    // `.busy` there already: another program's claim, or left over; it is not ours to overwrite.
    if (dir.rename_new(ready, busy).has_error())
        return not_locked();
    busy_ = true;

    // A program may have put another file in its place after the open: then that is the one to hold.
    auto now = dir.status(busy);
    if (now.has_value() && !now->same_file(*about)) {
        opened = open_and_lock(dir, busy);
        if (opened.has_error()) {
            (void)rename_from_busy(envelope_suffix);
            return not_locked();
        }
    }
    envelope_status = now.has_value() ? *now : *about;
    lock = std::move(*opened);
    return {};
}

base::result<void> claimed_message::state::read_files() {
    folder& dir = owner->dir;
    auto text = dir.read(lock, max_envelope_size);
    if (text.has_error())
        return ignored({text.error().code, "cannot read envelope file"}, true);
    auto parsed = mail::parse_envelope(*text);
    if (parsed.has_error())
        return ignored(parsed.error(), true);
    envelope = std::move(parsed->value);

    auto opened = dir.open_content(name_of(id, content_suffix));
    if (opened.has_error() && opened.error().code == errc::operation_not_permitted)
        return ignored({{}, "content file is linked from elsewhere"}, true);
    if (opened.has_error())
        return ignored({{}, "cannot open content file"}, true);
    take_content(std::move(*opened));
    return {};
}

void claimed_message::state::take_content(opened_content opened) {
    content = std::move(opened.file);
    content_status = opened.about;
    read_so_far = 0;
}

// Others have had the files: each may have been changed, replaced or removed.
base::result<void> claimed_message::state::reload() {
    folder& dir = owner->dir;
    std::string busy = name_of(id, busy_suffix);
    auto about = dir.status(busy);
    if (about.has_error())
        return about.error();
    if (!about->same_file(envelope_status)) {
        auto opened = open_and_lock(dir, busy);
        if (opened.has_error())
            return opened.error();
        lock = std::move(*opened);
    }
    auto body = dir.open_content(name_of(id, content_suffix));
    if (owner->config.sync) {
        auto flushed = flush_changes(*about, body.has_value() ? &*body : nullptr);
        if (flushed.has_error())
            return base::error{{}, flushed.error().message()};
    }
    auto text = dir.read(busy, max_envelope_size);
    if (text.has_error())
        return base::error{{}, "cannot read envelope file"};
    auto parsed = mail::parse_envelope(*text);
    if (parsed.has_error())
        return parsed.error();
    if (body.has_error())
        return base::error{{}, "cannot open content file"};
    envelope = std::move(parsed->value);
    envelope_status = *about;
    take_content(std::move(*body));
    return {};
}

// What is sent is what a power cut leaves. So far only the journal may know of the message, as it was
// accepted: if one of its files was changed then both are flushed, with their names, and stand for it from
// here on.
base::result<void> claimed_message::state::flush_changes(const os::file_status& envelope_now,
                                                         const opened_content* body) {
    if (envelope_now.unchanged_since(envelope_status) &&
        (!body || body->about.unchanged_since(content_status)))
        return {};
    folder& dir = owner->dir;
    auto flushed = dir.files().flush(lock);
    if (flushed.has_value() && body)
        flushed = dir.files().flush(body->file);
    if (flushed.has_value())
        flushed = dir.flush();
    // Without its content the message is not sent, and the journal has it still.
    return flushed.has_error() || !body ? flushed : owner->records.forget(id);
}

base::result<void> claimed_message::state::finish() {
    std::string busy = name_of(id, busy_suffix), body = name_of(id, content_suffix);
    owner->log.verbose("deleting envelope [{}]", busy);
    auto removed = owner->dir.remove(busy);
    if (removed.has_error() && removed.error().code != errc::no_such_file_or_directory)
        return removed; // the content stays with it
    owner->log.verbose("deleting content [{}]", body);
    auto content_removed = owner->dir.remove(body);
    if (content_removed.has_error())
        owner->log.warning("failed to delete content file [{}]: {}", body, content_removed.error().message());
    owner->records.append(record_kind::done, id, urgency::riding, number);
    return {};
}

base::result<void> claimed_message::state::release() {
    auto back = rename_from_busy(envelope_suffix);
    close_claim();
    if (back.has_error() && back.error().code == errc::no_such_file_or_directory)
        return {}; // taken away meanwhile, by a filter or by hand
    return back;
}

// A file of that name is only overwritten if the envelope goes to `.bad`: then it is of an earlier failure.
base::result<void> claimed_message::state::rename_from_busy(std::string_view suffix) {
    std::string busy = name_of(id, busy_suffix), to = name_of(id, suffix);
    auto renamed = suffix == bad_suffix ? owner->dir.rename(busy, to) : owner->dir.rename_new(busy, to);
    busy_ = renamed.has_error() && renamed.error().code != errc::no_such_file_or_directory;
    return renamed;
}

// As long as it is `.busy` the journal keeps the claim, for the next recovery to release it.
void claimed_message::state::close_claim() {
    if (!busy_)
        owner->records.append(record_kind::released, id, urgency::riding, number);
}

void claimed_message::state::ignore(const base::error& why) {
    (void)ignored(why, true);
    close_claim();
}

base::result<void> claimed_message::state::fail(std::string_view reason, std::optional<int> code) {
    // Without its reason the message has failed all the same: it must not be tried for ever.
    if (auto appended = append_reason(reason, code); appended.has_error())
        owner->log.warning("cannot record the failure: {}", appended.error().message());
    return rename_to_bad();
}

base::result<void> claimed_message::state::append_reason(std::string_view reason, std::optional<int> code) {
    folder& dir = owner->dir;
    std::string busy = name_of(id, busy_suffix);
    auto present = dir.read(busy, max_envelope_size);
    if (present.has_error())
        return present.error();
    std::size_t first_end = present->find('\n');
    bool crlf = first_end == std::string::npos || (first_end > 0 && (*present)[first_end - 1] == '\r');
    std::string lines = mail::format_reason(reason, code, crlf);
    if (!present->empty() && present->back() != '\n')
        lines.insert(0, crlf ? "\r\n" : "\n");
    auto opened = dir.open(busy, os::open_mode::append);
    if (opened.has_error())
        return opened.error();
    auto about = dir.files().status(*opened);
    if (about.has_error())
        return about.error();
    if (about->links > 1) // what its other names stand for is not ours to write to
        return dir.replace(busy, *present + lines);
    auto outcome = dir.files().write(*opened, lines);
    if (outcome.has_value() && owner->config.sync)
        outcome = dir.files().flush(*opened);
    return outcome;
}

base::result<void> claimed_message::state::rename_to_bad() {
    std::string busy = name_of(id, busy_suffix), bad = name_of(id, bad_suffix);
    owner->log.summary("failing envelope [{}] -> [{}]", busy, bad);
    auto renamed = rename_from_busy(bad_suffix);
    close_claim();
    return renamed;
}

base::result<void> claimed_message::state::fail_partly(const std::vector<std::string>& refused,
                                                       std::string_view reason, std::optional<int> code) {
    auto rewritten = rewrite(refused, reason, code);
    if (rewritten.has_value())
        return rename_to_bad();
    owner->log.warning("cannot rewrite envelope: {}", rewritten.error().message());
    return fail(reason, code);
}

// Under a new name and flushed, then over the old one: at no time is there half an envelope. The folder is
// flushed before and after: whatever order its changes come to the disk in, a power cut leaves one envelope,
// and never the old one, with those that have the message already, as the failed one.
base::result<void> claimed_message::state::rewrite(const std::vector<std::string>& refused,
                                                   std::string_view reason, std::optional<int> code) {
    folder& dir = owner->dir;
    std::string busy = name_of(id, busy_suffix), temporary = name_of(id, rewrite_suffix);
    auto present = dir.read(busy, max_envelope_size);
    if (present.has_error())
        return present.error();
    auto parsed = mail::parse_envelope(*present);
    if (parsed.has_error())
        return parsed.error();
    parsed->value.to_remote = refused;
    std::string text =
        mail::rewrite_envelope(parsed->value, parsed->extra) + mail::format_reason(reason, code, true);

    (void)dir.remove(temporary); // left by a crash; the claim makes it ours
    auto written = dir.write_new(temporary, text, owner->config.sync);
    if (written.has_value() && owner->config.sync)
        written = dir.flush();
    if (written.has_error()) {
        (void)dir.remove(temporary);
        return written;
    }
    auto locked = open_and_lock(dir, temporary);
    if (locked.has_value())
        written = dir.rename(temporary, busy);
    if (locked.has_error() || written.has_error()) {
        (void)dir.remove(temporary);
        return locked.has_error() ? locked.error() : written.error();
    }
    lock = std::move(*locked);
    if (!owner->config.sync)
        return {};
    // The rewriting itself has been done.
    if (auto flushed = dir.flush(); flushed.has_error())
        owner->log.warning("cannot flush rewritten envelope: {}", flushed.error().message());
    return {};
}

claimed_message::claimed_message(std::unique_ptr<state> s) : state_(std::move(s)) {}
claimed_message::claimed_message(claimed_message&&) noexcept = default;

claimed_message& claimed_message::operator=(claimed_message&& other) noexcept {
    claimed_message old(std::move(*this));
    state_ = std::move(other.state_);
    return *this;
}

claimed_message::~claimed_message() {
    if (state_)
        (void)state_->release(); // nobody is there to be told; the next recovery releases it
}

const std::string& claimed_message::id() const noexcept {
    return state_->id;
}

const mail::envelope& claimed_message::envelope() const noexcept {
    return state_->envelope;
}

std::uint64_t claimed_message::content_size() const noexcept {
    return state_->content_status.size;
}

std::string claimed_message::content_path() const {
    return state_->owner->dir.path_of(name_of(state_->id, content_suffix));
}

std::string claimed_message::envelope_path() const {
    return state_->owner->dir.path_of(name_of(state_->id, busy_suffix));
}

base::result<void> claimed_message::reload() {
    return state_->reload();
}

base::result<std::size_t> claimed_message::read(std::span<char> into) {
    auto got = state_->owner->dir.files().read_at(state_->content, state_->read_so_far, into);
    if (got.has_value())
        state_->read_so_far += *got;
    return got;
}

} // namespace spool
