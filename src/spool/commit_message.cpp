// Reads downwards, in the order of time.
//
// The usual way: the record of the message, its envelope and content, goes to the journal (1); as soon as it
// is written there, so that a killed process leaves no file that nothing tells of, a disk thread makes the
// text files without flushing them (2), while the journal flushes the record together with those of other
// messages (3); when both are through the message is accepted (4). What fails is undone: files removed,
// record withdrawn (5). The direct way, for large messages and when the journal has no room: files and
// directory are flushed themselves.
//
// The envelope is written before the content: a content file without any envelope is then never one of a
// commit that was cut off, and a `.envelope.new` always is.
#include "spool/commit_message.hpp"

#include "spool/names.hpp"

#include <boost/system/errc.hpp>

#include <cerrno>

namespace spool {

commit_message::commit_message(std::unique_ptr<new_message::state> message, const mail::envelope& envelope,
                               store::completion done)
    : core_(*message->owner), message_(std::move(message)), envelope_(mail::format_envelope(envelope)),
      done_(std::move(done)), content_was_begun_(bool(message_->content)) {}

template <class Step>
void commit_message::run_on(os::worker_pool& pool, Step step) {
    core_.run_on(pool, [self = shared_from_this(), step] { ((*self).*step)(); });
}

void commit_message::start() {
    std::uint64_t limit = core_.config.journal_limit;
    if (message_->failure) {
        files_outcome_ = *message_->failure;
        run_on(core_.flushers, &commit_message::undo);
    } else if (!core_.config.sync) {
        run_on(core_.pool, &commit_message::write_directly);
    } else if (message_->size > limit || envelope_.size() > limit) {
        run_on(core_.flushers, &commit_message::write_directly);
    } else if (content_was_begun_) {
        run_on(core_.pool, &commit_message::read_back);
    } else {
        put();
    }
}

// (0) What is journalled is what is in the file.
void commit_message::read_back() {
    files_outcome_ = message_->write_held();
    if (files_outcome_.has_value()) {
        auto bytes = core_.dir.read(message_->content, core_.config.journal_limit);
        if (bytes.has_value())
            message_->held = std::move(*bytes);
        else
            files_outcome_ = bytes.error();
    }
    if (files_outcome_.has_error())
        return undo();
    content_is_complete_ = true;
    put();
}

// (1)
void commit_message::put() {
    parts_left_ = 2;
    was_written_ = false;
    core_.records.put(message_->id, envelope_, message_->held, shared_from_this());
}

// (2) On the journal's thread.
void commit_message::written() {
    was_written_ = true;
    run_on(core_.pool, &commit_message::write_files_unflushed);
}

void commit_message::write_files_unflushed() {
    files_outcome_ = write_files(false);
    if (one_part_done())
        publish();
}

// (3) On the journal's thread.
void commit_message::flushed(const base::result<void>& outcome) {
    flush_outcome_ = outcome;
    if (!was_written_) // then there is no second part
        parts_left_ = 1;
    if (one_part_done())
        run_on(core_.pool, &commit_message::publish);
}

bool commit_message::one_part_done() {
    return --parts_left_ == 0;
}

// (4)
void commit_message::publish() {
    if (files_outcome_.has_value() && flush_outcome_.has_value())
        files_outcome_ = rename_envelope();
    if (files_outcome_.has_error() || flush_outcome_.has_error())
        return undo();
    core_.records.stored(message_->id);
    finish({});
}

// (5)
void commit_message::undo() {
    remove_files();
    bool journalled = parts_left_.exchange(-1) == 0;
    if (journalled) // nothing more can be done if that fails, too: the client will send a message twice
        (void)core_.records.append_and_wait(record_kind::withdrawn, message_->id, urgency::flushed);
    if (journalled && flush_outcome_.has_value() && take_next_name())
        return put();
    finish(files_outcome_.has_error() ? files_outcome_ : flush_outcome_);
}

// The direct way. The journal's thread calls declined(), in place of (2) and (3).
void commit_message::declined() {
    parts_left_ = -1;
    run_on(core_.flushers, &commit_message::write_directly);
}

void commit_message::write_directly() {
    do {
        files_outcome_ = write_files(core_.config.sync);
        if (files_outcome_.has_value())
            files_outcome_ = rename_envelope();
        if (files_outcome_.has_value() && core_.config.sync)
            files_outcome_ = core_.dir.flush();
        if (files_outcome_.has_value())
            return finish({});
        remove_files();
    } while (take_next_name());
    finish(files_outcome_);
}

base::result<void> commit_message::write_files(bool flush) {
    const std::string& id = message_->id;
    std::string envelope_new = name_of(id, new_suffix);
    std::string content = name_of(id, content_suffix);

    auto outcome = core_.dir.write_new(envelope_new, envelope_, flush);
    if (outcome.has_error())
        return outcome;
    made_ = part::envelope_new;

    outcome =
        content_was_begun_ ? complete_content(flush) : core_.dir.write_new(content, message_->held, flush);
    if (outcome.has_error())
        return outcome;
    made_ = part::content;
    core_.log.verbose("new content file [{}]", content);
    core_.log.verbose("new envelope file [{}]", envelope_new);
    return {};
}

base::result<void> commit_message::rename_envelope() {
    const std::string& id = message_->id;
    auto renamed = core_.dir.rename_new(name_of(id, new_suffix), name_of(id, envelope_suffix));
    if (renamed.has_value())
        made_ = part::envelope;
    return renamed;
}

// The content file was begun before the commit.
base::result<void> commit_message::complete_content(bool flush) {
    if (!content_is_complete_)
        if (auto written = message_->write_held(); written.has_error())
            return written;
    content_is_complete_ = true;
    if (flush)
        if (auto flushed = core_.dir.files().flush(message_->content); flushed.has_error())
            return base::error{flushed.error().code, "fsync " + name_of(message_->id, content_suffix)};
    return {};
}

void commit_message::remove_files() {
    const std::string& id = message_->id;
    part made = std::exchange(made_, part::nothing);
    if (made == part::envelope_new || made == part::content)
        (void)core_.dir.remove(name_of(id, new_suffix));
    if (made == part::envelope) {
        auto removed = core_.dir.remove(name_of(id, envelope_suffix));
        if (removed.has_error()) { // taken by a forwarder meanwhile: from now on it is his
            message_->content.reset();
            return;
        }
    }
    if (!content_was_begun_ && (made == part::content || made == part::envelope))
        (void)core_.dir.remove(name_of(id, content_suffix));
}

bool commit_message::take_next_name() {
    constexpr int attempts = 100;
    if (files_outcome_.has_value() || files_outcome_.error().code != boost::system::errc::file_exists ||
        ++names_tried_ > attempts || message_->take_next_name().has_error())
        return false;
    files_outcome_ = {};
    return true;
}

void commit_message::finish(const base::result<void>& outcome) {
    std::shared_ptr<core> keep = message_->owner;
    if (outcome.has_error()) {
        message_->remove_file(); // the one begun before the commit
    } else if (content_was_begun_) {
        message_->content.reset();
        keep->records.append(record_kind::end, message_->id, urgency::riding);
    }
    base::result<std::string> stored = std::move(message_->id);
    if (outcome.has_error())
        stored = outcome.error();
    message_.reset();
    store::completion done = std::move(done_);
    done(std::move(stored));
    keep->commits.leave();
}

} // namespace spool
