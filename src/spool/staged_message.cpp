// Reads downwards, in the order of time.
//
// The files were announced in the journal before they were made (new_message.cpp), so that a recovery removes
// them if the process is killed meanwhile. The commit looks at what the filters have left. Small: the very
// octets go to the journal, whose flush makes them durable. Large: the files are flushed themselves. Then the
// envelope gets its final name. A failure removes everything.
#include "spool/staged_message.hpp"

#include "spool/names.hpp"
#include "spool/store_impl.hpp"

#include <boost/system/errc.hpp>

#include <cerrno>
#include <utility>

namespace spool {

namespace errc = boost::system::errc;

void staged_message::state::remove_files() {
    (void)owner->dir.remove(name_of(id, new_suffix)); // missing is as good
    (void)owner->dir.remove(name_of(id, content_suffix));
    owner->records.append(record_kind::end, id, urgency::riding);
}

base::result<void> staged_message::state::flush_files() {
    folder& dir = owner->dir;
    for (std::string_view suffix : {content_suffix, new_suffix}) {
        std::string name = name_of(id, suffix);
        auto opened = dir.open(name, os::open_mode::read);
        auto flushed = opened.has_value() ? dir.files().flush(*opened) : opened.error();
        if (flushed.has_error())
            return base::error{flushed.error().code, "fsync " + name};
    }
    return {};
}

base::result<void> staged_message::state::publish() {
    auto renamed = owner->dir.rename_new(name_of(id, new_suffix), name_of(id, envelope_suffix));
    committed = renamed.has_value();
    return renamed;
}

void staged_message::state::withdraw() {
    if (committed)
        committed = owner->dir.remove(name_of(id, envelope_suffix)).has_error(); // taken: it is his
}

staged_message::staged_message(std::unique_ptr<state> s) : state_(std::move(s)) {}
staged_message::staged_message(staged_message&&) noexcept = default;

staged_message& staged_message::operator=(staged_message&& other) noexcept {
    staged_message old(std::move(*this));
    state_ = std::move(other.state_);
    return *this;
}

staged_message::~staged_message() {
    if (state_ && !state_->committed)
        state_->remove_files();
}

const std::string& staged_message::id() const noexcept {
    return state_->id;
}

std::string staged_message::content_path() const {
    return state_->owner->dir.path_of(name_of(state_->id, content_suffix));
}

std::string staged_message::envelope_path() const {
    return state_->owner->dir.path_of(name_of(state_->id, new_suffix));
}

commit_staged::commit_staged(std::unique_ptr<staged_message::state> message, store::must_be_there which,
                             store::completion done)
    : core_(*message->owner), message_(std::move(message)), which_(which), done_(std::move(done)) {}

template <class Step>
void commit_staged::run_on(os::worker_pool& pool, Step step) {
    core_.run_on(pool, [self = shared_from_this(), step] { ((*self).*step)(); });
}

void commit_staged::start() {
    run_on(core_.pool, &commit_staged::look);
}

// (1) What have the filters left?
void commit_staged::look() {
    std::uint64_t limit = core_.config.journal_limit;
    outcome_ = read(limit);
    if (outcome_.has_error())
        return undo();
    if (!envelope_file_.file)
        leave_content();
    else if (!core_.config.sync)
        publish();
    else if (envelope_file_.size > limit || content_file_.size > limit || !content_file_.file)
        run_on(core_.flushers, &commit_staged::flush_directly);
    else
        put();
}

base::result<commit_staged::part> commit_staged::open(std::string_view suffix) {
    std::string name = name_of(message_->id, suffix);
    auto opened = core_.dir.open(name, os::open_mode::read);
    if (opened.has_error()) {
        bool missing = opened.error().code == errc::no_such_file_or_directory;
        if (missing && which_ == store::must_be_there::none)
            return part{};
        if (opened.error().code == errc::too_many_symbolic_link_levels)
            return base::make_error(EBADMSG, "open " + name);
        return opened.error();
    }
    auto about = core_.dir.files().status(*opened);
    if (about.has_error())
        return about.error();
    if (about->kind != os::file_status::type::regular)
        return base::make_error(EBADMSG, "open " + name);
    return part{std::move(*opened), about->size};
}

base::result<void> commit_staged::read(std::uint64_t limit) {
    auto content = open(content_suffix);
    if (content.has_error())
        return content.error();
    content_file_ = std::move(*content);
    auto envelope = open(new_suffix);
    if (envelope.has_error())
        return envelope.error();
    envelope_file_ = std::move(*envelope);

    if (envelope_file_.file) {
        auto text = core_.dir.read(envelope_file_.file, max_envelope_size);
        if (text.has_error())
            return text.error();
        envelope_ = std::move(*text);
        if (which_ == store::must_be_there::both)
            if (auto good = check_envelope(envelope_); good.has_error())
                return good;
    }
    if (content_file_.file && content_file_.size <= limit) {
        auto bytes = core_.dir.read(content_file_.file, limit);
        if (bytes.has_error())
            return bytes.error();
        content_ = std::move(*bytes);
    }
    return {};
}

base::result<void> commit_staged::check_envelope(const std::string& text) const {
    auto parsed = mail::parse_envelope(text);
    if (parsed.has_error())
        return base::make_error(EBADMSG, parsed.error().message());
    return {};
}

// (2) From here on as in commit_message.cpp, but that the files are there already.
void commit_staged::put() {
    journalled_ = true;
    core_.records.put(message_->id, envelope_, content_, shared_from_this());
}

void commit_staged::flushed(const base::result<void>& outcome) {
    outcome_ = outcome;
    run_on(core_.pool, outcome.has_value() ? &commit_staged::publish : &commit_staged::undo);
}

void commit_staged::declined() {
    journalled_ = false;
    run_on(core_.flushers, &commit_staged::flush_directly);
}

// (3)
void commit_staged::publish() {
    const std::string& id = message_->id;
    outcome_ = core_.dir.rename_new(name_of(id, new_suffix), name_of(id, envelope_suffix));
    if (outcome_.has_error())
        return undo();
    if (journalled_)
        core_.records.stored(id);
    core_.records.append(record_kind::end, id, urgency::riding);
    finish({});
}

void commit_staged::undo() {
    message_->remove_files();
    if (journalled_) // nothing more can be done if that fails, too: the client will send a message twice
        (void)core_.records.append_and_wait(record_kind::withdrawn, message_->id, urgency::flushed);
    finish(outcome_);
}

// In place of (2) and (3).
void commit_staged::flush_directly() {
    for (const part* each : {&content_file_, &envelope_file_}) {
        if (outcome_.has_value() && each->file)
            outcome_ = core_.dir.files().flush(each->file);
    }
    const std::string& id = message_->id;
    std::string ready = name_of(id, envelope_suffix);
    if (outcome_.has_value())
        outcome_ = core_.dir.rename_new(name_of(id, new_suffix), ready);
    if (outcome_.has_error())
        return undo();
    outcome_ = core_.dir.flush();
    if (outcome_.has_error() && core_.dir.remove(ready).has_value())
        return undo();
    if (outcome_.has_error()) // taken by a forwarder meanwhile: from now on it is his
        return finish(outcome_);
    core_.records.append(record_kind::end, id, urgency::riding);
    finish({});
}

// A filter has taken the envelope away; a content that it has left stays for whom it is meant. No recovery
// may take it for a leftover.
void commit_staged::leave_content() {
    const std::string& id = message_->id;
    if (!content_file_.file || !core_.config.sync) {
        core_.records.append(record_kind::end, id, urgency::riding);
        return finish({});
    }
    outcome_ = core_.dir.files().flush(content_file_.file);
    if (outcome_.has_value())
        outcome_ = core_.dir.flush();
    if (outcome_.has_value())
        if (auto known = core_.records.append_and_wait(record_kind::end, id, urgency::flushed);
            known.has_error())
            outcome_ = known.error();
    finish(outcome_);
}

// All become visible before the one flush of the directory, and `last` is done when no power cut can take
// them away. Until then whatever fails is undone. A forwarder may have been quicker: what he has taken is not
// to be had back, and goes out whether or not the rest does.
// NOLINTNEXTLINE(performance-unnecessary-value-param): what has not been stored goes when this returns
base::result<void> store::commit_at_once(std::vector<staged_message> messages,
                                         const std::function<base::result<void>()>& last) {
    core& c = *impl_->shared;
    base::result<void> outcome;
    if (c.config.sync)
        for (const staged_message& each : messages)
            if (outcome.has_value())
                outcome = each.state_->flush_files();
    for (const staged_message& each : messages)
        if (outcome.has_value())
            outcome = each.state_->publish();
    if (outcome.has_value() && c.config.sync && !messages.empty())
        outcome = c.dir.flush();
    if (outcome.has_value())
        outcome = last();
    for (const staged_message& each : messages) {
        if (outcome.has_error())
            each.state_->withdraw(); // the destructor does the rest
        if (each.state_->committed)
            c.records.append(record_kind::end, each.id(), urgency::riding);
    }
    return outcome;
}

void commit_staged::finish(const base::result<void>& outcome) {
    std::shared_ptr<core> keep = message_->owner;
    base::result<std::string> stored = std::move(message_->id);
    if (outcome.has_error())
        stored = outcome.error();
    message_.reset();
    store::completion done = std::move(done_);
    done(std::move(stored));
    keep->commits.leave();
}

} // namespace spool
