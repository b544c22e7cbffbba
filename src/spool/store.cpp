#include "spool/store.hpp"

#include "base/text.hpp"
#include "os/identity.hpp"
#include "os/machine.hpp"
#include "spool/claim.hpp"
#include "spool/commit_message.hpp"
#include "spool/core.hpp"
#include "spool/names.hpp"
#include "spool/new_message.hpp"
#include "spool/recovery.hpp"
#include "spool/staged_message.hpp"
#include "spool/store_impl.hpp"

#include <boost/system/errc.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <thread>
#include <utility>

namespace spool {

namespace {

constexpr std::size_t flusher_threads = 4;

base::error invalid_directory(const std::string& path, const base::error& why) {
    return {{}, "invalid spool directory: " + path + ": " + base::to_lower(why.code.message())};
}

// On a thread that is prepared for file work, whatever the caller's is.
template <class Work>
auto on_file_thread(Work work) {
    decltype(work()) outcome;
    std::thread worker([&] {
        os::prepare_file_thread();
        outcome = work();
    });
    worker.join();
    return outcome;
}

} // namespace

void announcements::add(std::span<const std::string> ids, std::uint64_t first_number) {
    std::lock_guard lock(mutex_);
    for (const std::string& id : ids)
        numbers_.emplace(id, first_number++);
}

std::uint64_t announcements::take(const std::string& id) {
    std::lock_guard lock(mutex_);
    auto found = numbers_.extract(id);
    return found.empty() ? 0 : found.mapped();
}

std::unordered_multimap<std::string, std::uint64_t> announcements::take_all() {
    std::lock_guard lock(mutex_);
    return std::exchange(numbers_, {});
}

core::core(settings s, os::filesystem& files, os::file directory, os::worker_pool& p, base::logger l)
    : config(std::move(s)), dir(files, std::move(directory), config.directory), pool(p), log(std::move(l)),
      ids(os::process_id()),
      records(dir, {config.sync, config.journal_segment, config.journal_size, config.checkpoint}, log),
      index(
          dir, config.watch, [this](std::string_view name) { return records.owns(name); }, log),
      flushers("flush", flusher_threads, os::prepare_file_thread) {}

void core::run_on(os::worker_pool& any_pool, std::function<void()> step) {
    commits.enter(); // this thread is still in post() when all may be over already
    if (!any_pool.post(std::move(step)))
        // NOLINTNEXTLINE(bugprone-use-after-move): refused, it stays ours
        flushers.post(std::move(step)); // they live as long as there are commits
    commits.leave();
}

store::store(std::unique_ptr<impl> i) : impl_(std::move(i)) {}

store::~store() {
    close();
}

base::result<std::unique_ptr<store>> store::open(settings s, os::filesystem& files, os::worker_pool& pool,
                                                 base::logger log) {
    auto opening = [&]() -> base::result<std::unique_ptr<impl>> {
        auto directory = files.open_directory(s.directory);
        if (directory.has_error())
            return invalid_directory(s.directory, directory.error());
        auto shared = std::make_shared<core>(std::move(s), files, std::move(*directory), pool, log);
        auto made = std::make_unique<impl>(std::move(shared));
        auto segments = made->segments_of_others();
        if (segments.has_error())
            return invalid_directory(made->shared->dir.path(), segments.error());
        if (made->check_writable().has_error())
            log.warning("directory not writable: \"{}\"", made->shared->dir.path());
        made->recover_if_needed(*segments, true);
        return made;
    };
    std::optional<base::result<std::unique_ptr<impl>>> opened;
    on_file_thread([&] {
        opened.emplace(opening());
        return true;
    });
    if (opened->has_error())
        return opened->error();
    return std::unique_ptr<store>(new store(std::move(**opened)));
}

// A probe file is made and removed (spec/spool.md section 7).
base::result<void> store::impl::check_writable() {
    folder& dir = shared->dir;
    std::int64_t now = os::nanoseconds_now();
    std::string probe =
        fmt::format(".{}.{}.0.{}.tmp", now / 1'000'000'000, now / 1000 % 1'000'000, os::process_id());
    auto made = dir.write_new(probe, "", false);
    if (made.has_error())
        return made;
    return dir.remove(probe);
}

new_message store::create() {
    auto& shared = impl_->shared;
    return new_message(std::make_unique<new_message::state>(shared, shared->ids.next()));
}

void store::commit(new_message message, const mail::envelope& envelope, completion done) {
    impl_->shared->commits.enter();
    std::make_shared<commit_message>(std::move(message.state_), envelope, std::move(done))->start();
}

base::result<staged_message> store::stage(new_message message, const mail::envelope& envelope) {
    new_message::state& received = *message.state_;
    if (received.failure)
        return *received.failure;
    if (auto written = received.write_held(); written.has_error())
        return written.error(); // what was made goes with `message`
    core& c = *impl_->shared;
    constexpr int attempts = 100;
    const std::string text = mail::format_envelope(envelope);
    auto written = c.dir.write_new(name_of(received.id, new_suffix), text, false);
    for (int i = 0;
         i < attempts && written.has_error() && written.error().code == boost::system::errc::file_exists;
         ++i) {
        if (auto renamed = received.take_next_name(); renamed.has_error())
            return renamed.error();
        written = c.dir.write_new(name_of(received.id, new_suffix), text, false);
    }
    if (written.has_error())
        return written.error();
    c.log.verbose("new content file [{}]", name_of(received.id, content_suffix));
    c.log.verbose("new envelope file [{}]", name_of(received.id, new_suffix));
    received.content.reset(); // from here on the files are the staged message's
    return staged_message(std::make_unique<staged_message::state>(impl_->shared, received.id));
}

void store::commit(staged_message message, must_be_there which, completion done) {
    impl_->shared->commits.enter();
    std::make_shared<commit_staged>(std::move(message.state_), which, std::move(done))->start();
}

std::string store::new_id() {
    return impl_->shared->ids.next();
}

base::result<staged_message> store::stage_linked(const std::string& id, const std::string& content_name,
                                                 std::string_view envelope_text) {
    core& c = *impl_->shared;
    auto known = c.records.append_and_wait(record_kind::begin, id, urgency::written);
    if (known.has_error())
        return known.error();
    std::string content = name_of(id, content_suffix);
    auto outcome = c.dir.files().link(c.dir.directory(), content_name, c.dir.directory(), content);
    if (outcome.has_error() && outcome.error().code != boost::system::errc::file_exists)
        outcome = c.dir.copy_new(content_name, content);
    if (outcome.has_error()) {
        c.records.append(record_kind::end, id, urgency::riding);
        return outcome.error();
    }
    outcome = c.dir.write_new(name_of(id, new_suffix), envelope_text, false);
    if (outcome.has_error()) { // an envelope that is there already is another message's
        (void)c.dir.remove(content);
        c.records.append(record_kind::end, id, urgency::written);
        return outcome.error();
    }
    staged_message staged(std::make_unique<staged_message::state>(impl_->shared, id)); // removes it again
    c.log.verbose("new content file [{}]", content);
    c.log.verbose("new envelope file [{}]", name_of(id, new_suffix));
    return staged;
}

folder& store::directory() const noexcept {
    return impl_->shared->dir;
}

bool store::syncs() const noexcept {
    return impl_->shared->config.sync;
}

void store::discard(staged_message message) {
    auto kept = std::make_shared<staged_message>(std::move(message));
    impl_->shared->pool.post([kept] { staged_message gone(std::move(*kept)); });
}

void store::discard(new_message message) {
    if (!message.state_->content)
        return;
    auto kept = std::make_shared<new_message>(std::move(message));
    impl_->shared->pool.post([kept] { new_message gone(std::move(*kept)); });
}

base::result<std::vector<std::string>> store::impl::list(std::string_view suffix) {
    std::vector<std::string> names;
    auto listed = shared->dir.files().list(shared->dir.directory(), [&](std::string_view name) {
        if (!id_of(name, suffix).empty())
            names.emplace_back(name);
    });
    if (listed.has_error())
        return listed.error();
    return names;
}

// The directory is read once at start, for the index too if there is to be one.
base::result<segment_names> store::impl::segments_of_others() {
    if (shared->config.watch) {
        if (auto current = shared->index.refresh(look::at_changes); current.has_error())
            return current.error();
        return shared->index.segments();
    }
    segment_names segments;
    auto listed = shared->dir.files().list(shared->dir.directory(), [&](std::string_view name) {
        if (name.starts_with(journal_prefix) && !shared->records.owns(name))
            segments.emplace(name);
    });
    if (listed.has_error())
        return listed.error();
    return segments;
}

// True if the directory may have changed. A recovery that fails is tried again at the next
// scan.
bool store::impl::recover_if_needed(const segment_names& segments, bool wait) {
    if (segments.empty() || !any_owner_is_dead(shared->dir, segments))
        return false;
    if (auto recovered = recover(*shared, wait); recovered.has_error())
        shared->log.error("spool recovery: {}", recovered.error().message());
    return true;
}

struct ready_messages::state {
    std::shared_ptr<core> owner;
    directory_index::place at;
};

ready_messages::ready_messages(std::unique_ptr<state> s) : state_(std::move(s)) {}
ready_messages::ready_messages(ready_messages&&) noexcept = default;
ready_messages& ready_messages::operator=(ready_messages&&) noexcept = default;
ready_messages::~ready_messages() = default;

std::size_t ready_messages::count() const noexcept {
    return state_->at.count();
}

std::vector<std::string> ready_messages::next(std::size_t most) {
    return state_->owner->index.next(state_->at, most);
}

base::result<ready_messages> store::ready(look how) {
    impl_->forget_announcements();
    directory_index& index = impl_->shared->index;
    auto current = index.refresh(how);
    if (current.has_value() && impl_->recover_if_needed(index.segments(), false))
        current = index.refresh(look::at_changes);
    if (current.has_error())
        return current.error();
    return ready_messages(
        std::make_unique<ready_messages::state>(ready_messages::state{impl_->shared, index.beginning()}));
}

base::result<std::vector<std::string>> store::other_names() {
    return impl_->shared->index.other_names();
}

base::result<std::vector<std::string>> store::failed() {
    return list(message_state::failed);
}

void store::announce(std::span<const std::string> ids) {
    impl_->forget_announcements();
    core& c = *impl_->shared;
    std::uint64_t first = c.claims.next(ids.size());
    auto known = c.records.claim(ids, first);
    c.announced.add(ids, first);
    if (known.has_error() || !*known)
        impl_->forget_announcements(); // each claim sees to itself
}

// Announced and not claimed: a `.busy` of that name would not be ours.
void store::impl::forget_announcements() {
    for (const auto& [id, number] : shared->announced.take_all())
        shared->records.append(record_kind::released, id, urgency::riding, number);
}

base::result<claimed_message> store::claim(const std::string& id) {
    auto taken = std::make_unique<claimed_message::state>(impl_->shared, id);
    if (auto claimed = taken->claim(); claimed.has_error())
        return claimed.error();
    return claimed_message(std::move(taken));
}

base::result<void> store::finish(claimed_message message) {
    return std::exchange(message.state_, nullptr)->finish();
}

base::result<void> store::release(claimed_message message) {
    return std::exchange(message.state_, nullptr)->release();
}

void store::ignore(claimed_message message, const base::error& why) {
    std::exchange(message.state_, nullptr)->ignore(why);
}

base::result<void> store::fail(claimed_message message, std::string_view reason, std::optional<int> code) {
    return std::exchange(message.state_, nullptr)->fail(reason, code);
}

base::result<void> store::fail_partly(claimed_message message, const std::vector<std::string>& refused,
                                      std::string_view reason, std::optional<int> code) {
    return std::exchange(message.state_, nullptr)->fail_partly(refused, reason, code);
}

void store::close() {
    if (!impl_ || std::exchange(impl_->closed, true))
        return;
    impl_->shared->commits.wait_until_empty();
    impl_->shared->index.stop();
    impl_->forget_announcements();
    impl_->shared->records.close();
    impl_->shared->flushers.stop();
}

} // namespace spool
