#include "spool/journal.hpp"

#include "os/identity.hpp"
#include "os/machine.hpp"
#include "os/thread_name.hpp"
#include "spool/checkpoint.hpp"
#include "spool/names.hpp"
#include "spool/segment.hpp"

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>
#include <set>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

namespace spool {

namespace {

using clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds longest_ride{500};
constexpr std::uint64_t smallest_segment = 64 << 10;
constexpr std::uint64_t first_segment = 256 << 10;
constexpr std::uint64_t growth = 4; // of each segment over the one before: making one takes two flushes
constexpr std::size_t largest_batch = 4 << 20;
constexpr std::size_t largest_backlog = 32 << 20; // octets waiting; beyond, messages are flushed as files
constexpr std::chrono::seconds idle_before_shrinking{60};

// A checkpoint holds up whoever works in the directory meanwhile (the file system's journal is written), so
// there is none only for messages that are gone: not before so many periods, or so many octets of records.
constexpr int longest_postponed = 10;
constexpr std::uint64_t most_postponed = 16 << 20;

std::uint64_t rounded_up_to_block(std::uint64_t n) {
    return (n + journal_block - 1) / journal_block * journal_block;
}

struct waiting_record {
    record_kind kind = record_kind::put;
    urgency how = urgency::riding;
    std::string id;
    std::string_view envelope;
    std::string_view content;
    std::uint64_t number = 0;
    std::shared_ptr<journal_client> client;

    record as_record() const { return {kind, 0, 0, number, id, envelope, content}; }
};

// Where the record of a message stands that is not settled yet.
struct live_message {
    std::uint64_t sequence = 0;
    const segment* where = nullptr;
    std::uint64_t offset = 0;
    std::size_t size = 0;
    bool stored = false;  // its files are there
    bool suspect = false; // see checkpoint.hpp
};

// Waits until all of its records have got as far as they should.
class waiter final : public journal_client {
public:
    waiter(std::size_t records, urgency how) : left_(records), how_(how) {}

    void written() override {
        if (how_ != urgency::flushed)
            one_less({}, true);
    }
    void flushed(const base::result<void>& outcome) override {
        if (how_ == urgency::flushed || outcome.has_error())
            one_less(outcome, true);
    }
    void declined() override { one_less({}, false); }

    base::result<bool> wait() {
        std::unique_lock lock(mutex_);
        over_.wait(lock, [this] { return left_ == 0; });
        if (outcome_.has_error())
            return outcome_.error();
        return recorded_;
    }

private:
    void one_less(const base::result<void>& outcome, bool recorded) {
        std::lock_guard lock(mutex_);
        if (outcome.has_error())
            outcome_ = outcome;
        recorded_ = recorded_ && recorded;
        if (--left_ == 0)
            over_.notify_all();
    }

    std::mutex mutex_;
    std::condition_variable over_;
    std::size_t left_;
    urgency how_;
    base::result<void> outcome_;
    bool recorded_ = true;
};

} // namespace

struct journal::impl {
    impl(folder& where, journal_settings s, base::logger l)
        : dir(where), config(s), log(std::move(l)), owner(this_process()) {}

    void start();
    void enqueue(waiting_record r);
    void close();

    // ---- the thread that commits
    void commit();
    void commit_batch(std::vector<waiting_record>& batch);
    void decline(const waiting_record& r);
    std::size_t write_some(std::span<waiting_record> records);
    bool find_room(std::uint64_t size);
    void leave_segment();
    bool use_free_segment(std::uint64_t size);
    void note_written(const waiting_record& r, std::uint64_t sequence, std::uint64_t offset,
                      std::size_t size);
    std::uint64_t opening_size() const;

    // ---- the thread that makes segments
    void provide();
    std::uint64_t affordable(std::uint64_t wanted);
    bool make_one(std::uint64_t size);
    void free_settled(std::vector<std::unique_ptr<segment>>& unusable);

    // ---- the thread that flushes survivors
    void check();
    void wait_for_something_unsettled(std::unique_lock<std::mutex>& lock);
    bool checkpoint_due();
    void shrink();
    void checkpoint();
    void flush_closings();
    void append_settled();
    base::result<accepted_bytes> accepted(const std::string& id);
    void remove_segments();

    folder& dir;
    const journal_settings config;
    const base::logger log;
    const journal_owner owner;

    mutable std::mutex mutex;
    std::condition_variable work;      // for the committing thread
    std::condition_variable provision; // for the providing one
    std::condition_variable due;       // for the checking one

    std::vector<waiting_record> queue;
    std::size_t queued_octets = 0;
    bool urgent = false;
    std::optional<clock::time_point> riding_until;
    std::uint64_t last_sequence = 0;
    std::uint64_t last_unsettled = 0; // the last record that a checkpoint has something to do for
    std::uint64_t settled = 0;
    std::uint64_t flushed_through = 0; // the last record known to be durable
    std::uint64_t looked_at = 0;       // last_sequence one period ago
    int postponed = 0;                 // periods since the last checkpoint
    std::unordered_map<std::string, live_message> live;
    std::set<std::pair<std::string, std::uint64_t>> open; // begun messages (number 0) and claims, not closed
    bool directory_suspect = false; // it, or claims, may not be durable: nothing is settled any more
    bool told_of_failure = false;

    std::unique_ptr<segment> current;
    std::deque<std::unique_ptr<segment>> full; // oldest first
    std::vector<std::unique_ptr<segment>> free;
    std::uint64_t total_size = 0;
    std::uint64_t segments_made = 0;
    std::uint64_t next_size = first_segment;
    std::uint64_t needed = 0;   // size of a segment that the committing thread waits for
    std::uint64_t provided = 0; // counts what became of such wishes
    std::uint64_t wished = 0;
    bool urgent_checkpoint = false;
    bool checking = false;
    std::uint64_t checkpoints = 0;
    bool checker_idle = false;

    bool stopping = false;
    bool committer_ended = false;
    bool closed = false;
    std::thread committer, provider, checker;
};

journal::journal(folder& where, journal_settings s, base::logger log)
    : impl_(std::make_unique<impl>(where, s, std::move(log))) {
    impl_->start();
}

journal::~journal() {
    close();
}

void journal::close() {
    impl_->close();
}

void journal::put(const std::string& id, std::string_view envelope, std::string_view content,
                  std::shared_ptr<journal_client> client) {
    impl_->enqueue({record_kind::put, urgency::flushed, id, envelope, content, 0, std::move(client)});
}

void journal::append(record_kind kind, const std::string& id, urgency how, std::uint64_t number) {
    impl_->enqueue({kind, how, id, {}, {}, number, nullptr});
}

base::result<bool> journal::append_and_wait(record_kind kind, const std::string& id, urgency how,
                                            std::uint64_t number) {
    auto one = std::make_shared<waiter>(1, how);
    impl_->enqueue({kind, how, id, {}, {}, number, one});
    return one->wait();
}

base::result<bool> journal::claim(std::span<const std::string> ids, std::uint64_t first_number) {
    auto all = std::make_shared<waiter>(ids.size(), urgency::flushed);
    for (const std::string& id : ids)
        impl_->enqueue({record_kind::claim, urgency::flushed, id, {}, {}, first_number++, all});
    return all->wait();
}

base::result<void> journal::forget(const std::string& id) {
    auto noted = append_and_wait(record_kind::filed, id, urgency::flushed);
    return noted.has_error() ? noted.error() : base::result<void>();
}

void journal::stored(const std::string& id) {
    std::lock_guard lock(impl_->mutex);
    if (auto found = impl_->live.find(id); found != impl_->live.end())
        found->second.stored = true;
}

bool journal::owns(std::string_view name) const {
    std::string own = segment_name(impl_->owner, 0);
    return owner_part(name) == owner_part(own);
}

void journal::impl::start() {
    auto run = [this](const char* name, void (impl::*job)()) {
        return std::thread([this, name, job] {
            os::name_thread(name);
            os::prepare_file_thread();
            (this->*job)();
        });
    };
    committer = run("journal", &impl::commit);
    provider = run("segments", &impl::provide);
    checker = run("checkpoint", &impl::check);
}

void journal::impl::enqueue(waiting_record r) {
    std::shared_ptr<journal_client> refused;
    {
        std::lock_guard lock(mutex);
        if (stopping || (r.kind == record_kind::put && queued_octets > largest_backlog)) {
            refused = std::move(r.client);
        } else {
            if (r.kind == record_kind::claim && live.contains(r.id))
                r.how = urgency::implied;
            bool wake = false;
            if (r.how == urgency::riding && !riding_until) {
                riding_until = clock::now() + longest_ride;
                wake = queue.empty();
            } else if (r.how != urgency::riding && !urgent) {
                urgent = wake = true;
            }
            queued_octets += r.envelope.size() + r.content.size();
            queue.push_back(std::move(r));
            if (wake)
                work.notify_one();
        }
    }
    if (refused)
        refused->declined();
}

void journal::impl::close() {
    {
        std::lock_guard lock(mutex);
        if (std::exchange(closed, true))
            return;
        stopping = true;
        work.notify_all();
        provision.notify_all();
        due.notify_all();
    }
    committer.join();
    provider.join();
    checker.join();
}

// ---- the thread that commits

void journal::impl::commit() {
    for (;;) {
        std::vector<waiting_record> batch;
        {
            std::unique_lock lock(mutex);
            while (!urgent && !stopping && !(riding_until && clock::now() >= *riding_until)) {
                if (riding_until)
                    work.wait_until(lock, *riding_until);
                else
                    work.wait(lock);
            }
            if (queue.empty() && stopping) {
                committer_ended = true;
                due.notify_all();
                provision.notify_all();
                return;
            }
            batch.swap(queue);
            queued_octets = 0;
            urgent = false;
            riding_until.reset();
        }
        commit_batch(batch);
    }
}

void journal::impl::commit_batch(std::vector<waiting_record>& batch) {
    std::span<waiting_record> rest = batch;
    while (!rest.empty()) {
        std::size_t done = write_some(rest);
        if (done == 0) { // no room for the first one
            decline(rest[0]);
            done = 1;
        }
        rest = rest.subspan(done);
    }
}

// What a record would have closed is closed all the same.
void journal::impl::decline(const waiting_record& r) {
    {
        std::lock_guard lock(mutex);
        if (r.kind == record_kind::end || r.kind == record_kind::released || r.kind == record_kind::done)
            open.erase({r.id, r.number});
        if (r.kind == record_kind::done || r.kind == record_kind::withdrawn)
            live.erase(r.id);
    }
    if (r.client)
        r.client->declined();
}

// Writes as many records as go into the present segment, flushes them if one of them asks for it, and tells
// their clients. Gives their number.
std::size_t journal::impl::write_some(std::span<waiting_record> records) {
    std::size_t first = size_of(records[0].as_record());
    if (!find_room(first))
        return 0;

    std::string bytes;
    std::size_t count = 0;
    bool flush = false;
    std::uint64_t start = current->used;
    {
        std::lock_guard lock(mutex);
        std::int64_t now = os::nanoseconds_now();
        if (start == 0) {
            // Claims and begun messages outlive the segments that tell of them: each new one begins with all
            // of them.
            bytes = format_header(current->header);
            for (const auto& [id, number] : open) {
                record_kind kind = number == 0 ? record_kind::begin : record_kind::claim;
                append_record(bytes, {kind, ++last_sequence, now, number, id, {}, {}}, current->header.key);
            }
            flush = config.sync && !open.empty();
        }
        for (waiting_record& r : records) {
            record out = r.as_record();
            std::size_t size = size_of(out);
            if (count > 0 &&
                (bytes.size() + size > current->size - start || bytes.size() + size > largest_batch))
                break;
            out.sequence = ++last_sequence;
            out.time = now;
            note_written(r, out.sequence, start + bytes.size(), size);
            append_record(bytes, out, current->header.key);
            flush = flush || (config.sync && r.how == urgency::flushed);
            ++count;
        }
        current->last_sequence = last_sequence;
    }
    pad_to_block(bytes);

    auto outcome = dir.files().write_at(current->file, start, bytes);
    bool written = outcome.has_value();
    if (written) {
        for (const waiting_record& r : records.first(count)) {
            if (r.client)
                r.client->written();
            if (r.client && r.how == urgency::implied)
                r.client->flushed({});
        }
        if (flush)
            outcome = dir.files().flush_data(current->file);
    }

    {
        std::lock_guard lock(mutex);
        current->used = start + bytes.size();
        if (outcome.has_error()) {
            current->distrusted = true;
            log.error("journal: {}: {}", current->name, outcome.error().message());
        } else if (flush || !config.sync) {
            current->flushed = true;
            flushed_through = current->last_sequence;
        }
        if (current->room() < current->size / 2 && free.empty())
            provision.notify_one();
        if (std::exchange(checker_idle, false))
            due.notify_one();
    }
    for (const waiting_record& r : records.first(count))
        if (r.client && (r.how == urgency::flushed || !written))
            r.client->flushed(outcome);
    return count;
}

// With the lock held.
void journal::impl::note_written(const waiting_record& r, std::uint64_t sequence, std::uint64_t offset,
                                 std::size_t size) {
    switch (r.kind) {
    case record_kind::put:
        live[r.id] = {sequence, current.get(), offset, size, false, false};
        last_unsettled = sequence;
        break;
    case record_kind::claim:
    case record_kind::begin:
        open.emplace(r.id, r.number);
        break;
    case record_kind::end:
        open.erase({r.id, r.number});
        break;
    case record_kind::released:
        open.erase({r.id, r.number});
        last_unsettled = sequence;
        break;
    case record_kind::done:
        open.erase({r.id, r.number});
        live.erase(r.id);
        last_unsettled = sequence;
        break;
    case record_kind::withdrawn:
    case record_kind::filed:
        live.erase(r.id);
        last_unsettled = sequence;
        break;
    case record_kind::settled:
        break;
    }
}

// With the lock held: the octets with which a segment opens.
std::uint64_t journal::impl::opening_size() const {
    std::uint64_t size = journal_block;
    for (const auto& [id, number] : open)
        size += size_of({record_kind::claim, 0, 0, number, id, {}, {}});
    return size;
}

// Room for a record of that size in the present segment, or in the next one. Waits while one can still come.
bool journal::impl::find_room(std::uint64_t size) {
    if (current && current->room() >= rounded_up_to_block(size))
        return true;
    if (current)
        leave_segment();
    std::unique_lock lock(mutex);
    if (use_free_segment(size))
        return true;
    needed = rounded_up_to_block(opening_size() + size);
    std::uint64_t mine = ++wished;
    provision.notify_one();
    work.wait(lock, [&] { return provided >= mine; });
    return use_free_segment(size);
}

// Later records rely on those in it, flushed or not: messages are settled whose claims may be among them.
void journal::impl::leave_segment() {
    base::result<void> flushed;
    if (config.sync && current->last_sequence > flushed_through)
        flushed = dir.files().flush_data(current->file);
    std::lock_guard lock(mutex);
    if (flushed.has_error()) {
        current->distrusted = directory_suspect = true;
        log.error("journal: {}: {}", current->name, flushed.error().message());
    }
    full.push_back(std::move(current));
}

// With the lock held.
bool journal::impl::use_free_segment(std::uint64_t size) {
    std::uint64_t whole = rounded_up_to_block(opening_size() + size);
    auto found = std::find_if(free.begin(), free.end(), [&](const auto& s) { return s->size >= whole; });
    if (found == free.end())
        return false;
    current = std::move(*found);
    free.erase(found);
    current->used = 0;
    current->flushed = false;
    current->header.key = os::random_number();
    return true;
}

// ---- the thread that makes segments

void journal::impl::provide() {
    std::unique_lock lock(mutex);
    for (;;) {
        auto spare_wanted = [this] {
            return free.empty() && current && !stopping && current->room() < current->size / 2 &&
                   total_size + smallest_segment <= config.total;
        };
        bool tried_spare = false;
        provision.wait(lock, [&] { return wished > provided || committer_ended || spare_wanted(); });
        if (committer_ended)
            return;
        std::vector<std::unique_ptr<segment>> unusable;
        free_settled(unusable);
        std::uint64_t size = wished > provided ? needed : 0;
        auto suits = [&](const auto& s) {
            return s->size >= size;
        };
        if (!std::any_of(free.begin(), free.end(), suits)) {
            lock.unlock();
            unusable.clear();
            bool made = make_one(size);
            lock.lock();
            tried_spare = !made;
            if (!made && size > 0) {
                // A checkpoint is what can still help: one that begins from now on.
                std::uint64_t enough = checkpoints + (checking ? 2 : 1);
                urgent_checkpoint = true;
                due.notify_one();
                provision.wait(lock, [&] { return checkpoints >= enough || stopping; });
                free_settled(unusable);
            }
        }
        if (size > 0) {
            provided = wished;
            work.notify_one();
        }
        if (tried_spare) // not again before something has changed
            provision.wait_for(lock, std::chrono::seconds(1),
                               [&] { return wished > provided || committer_ended; });
    }
}

// What may be taken of the file system: at most a sixteenth of what is free, never over the limit set.
std::uint64_t journal::impl::affordable(std::uint64_t wanted) {
    auto room = dir.files().free_space(dir.directory());
    std::uint64_t held = 0;
    {
        std::lock_guard lock(mutex);
        held = total_size;
    }
    std::uint64_t limit = config.total;
    if (room.has_value())
        limit = std::min(limit, (*room + held) / 16);
    return limit > held ? std::min(wanted, limit - held) : 0;
}

// Without the lock. `size` is the least that helps, 0 if any does.
bool journal::impl::make_one(std::uint64_t size) {
    std::uint64_t wanted = std::max(std::min(next_size, config.segment), size);
    std::uint64_t take = affordable(wanted) / journal_block * journal_block;
    if (take < std::max(size, std::min(smallest_segment, config.segment)))
        return false;
    base::result<std::unique_ptr<segment>> made = base::make_error(EAGAIN, "");
    for (int attempts = 0; attempts < 3 && made.has_error() && made.error().code.value() == EAGAIN;
         ++attempts)
        made = make_segment(dir, owner, ++segments_made, take, config.sync);
    std::lock_guard lock(mutex);
    if (made.has_error()) {
        if (!std::exchange(told_of_failure, true))
            log.warning("no room for a journal: {}", made.error().message());
        return false;
    }
    total_size += take;
    next_size = std::min(config.segment, growth * wanted);
    free.push_back(std::move(*made));
    told_of_failure = false;
    return true;
}

// With the lock held. A segment whose records are all settled is free once a later one, which repeats the
// open claims, is flushed.
void journal::impl::free_settled(std::vector<std::unique_ptr<segment>>& unusable) {
    bool later_flushed = (current && current->flushed) || open.empty();
    std::size_t usable = full.size();
    while (usable > 0 && !later_flushed) // the newest flushed one stays
        later_flushed = full[--usable]->flushed;
    for (std::size_t i = 0; i < usable && full.front()->last_sequence <= settled; ++i) {
        auto s = std::move(full.front());
        full.pop_front();
        if (!s->distrusted) {
            free.push_back(std::move(s));
            continue;
        }
        total_size -= s->size;
        (void)dir.remove(s->name);
        unusable.push_back(std::move(s));
    }
}

// ---- the thread that flushes survivors

void journal::impl::check() {
    std::unique_lock lock(mutex);
    while (!stopping) {
        wait_for_something_unsettled(lock);
        due.wait_for(lock, config.checkpoint, [this] { return stopping || urgent_checkpoint; });
        if (!checkpoint_due()) {
            flush_closings();
            continue;
        }
        urgent_checkpoint = false;
        postponed = 0;
        checking = true;
        lock.unlock();
        checkpoint();
        lock.lock();
        checking = false;
        ++checkpoints;
        provision.notify_one();
    }
    due.wait(lock, [this] { return committer_ended; });
    lock.unlock();
    checkpoint();
    remove_segments();
}

void journal::impl::wait_for_something_unsettled(std::unique_lock<std::mutex>& lock) {
    auto wanted = [this] {
        checker_idle = true; // whoever writes a record wakes this thread, once
        return stopping || urgent_checkpoint || last_unsettled > settled;
    };
    if (free.size() > 1 && !due.wait_for(lock, idle_before_shrinking, wanted))
        shrink();
    due.wait(lock, wanted);
    checker_idle = false;
}

// With the lock held, once in each period: whether a message is there that has outlived a period, or enough
// has gathered.
bool journal::impl::checkpoint_due() {
    const std::uint64_t old_enough = std::exchange(looked_at, last_sequence);
    if (stopping || urgent_checkpoint || !config.sync || ++postponed >= longest_postponed)
        return true;
    std::uint64_t gathered = 0;
    for (const auto& s : full)
        gathered += s->size;
    return gathered >= most_postponed || std::ranges::any_of(live, [old_enough](const auto& message) {
               return message.second.sequence <= old_enough;
           });
}

// With the lock held: a message that was sent shall not be sent again after a power cut.
void journal::impl::flush_closings() {
    if (last_unsettled > flushed_through || riding_until)
        append_settled();
}

// With the lock held: after a busy time one free segment is enough.
void journal::impl::shrink() {
    while (free.size() > 1) {
        auto s = std::move(free.back());
        free.pop_back();
        total_size -= s->size;
        (void)dir.remove(s->name);
    }
    next_size = first_segment;
}

void journal::impl::checkpoint() {
    std::vector<survivor> survivors;
    std::uint64_t through = 0;
    {
        std::lock_guard lock(mutex);
        if (last_unsettled <= settled || directory_suspect)
            return;
        through = last_sequence;
        for (const auto& [id, message] : live)
            if (!message.stored)
                through = std::min(through, message.sequence - 1);
        if (through <= settled)
            return;
        for (const auto& [id, message] : live)
            if (message.sequence <= through)
                survivors.push_back({id, message.suspect});
    }

    std::vector<std::string> failed;
    base::result<void> flushed;
    if (config.sync)
        flushed = flush_messages(
            dir, survivors, [this](const std::string& id) { return accepted(id); }, failed);

    std::lock_guard lock(mutex);
    if (flushed.has_error()) {
        directory_suspect = true;
        log.error("cannot flush the spool directory: {}", flushed.error().message());
        return;
    }
    if (!failed.empty()) { // their records are kept, and with them all later ones
        if (!std::exchange(told_of_failure, true))
            log.error("cannot flush {} of {} messages", failed.size(), survivors.size());
        for (const std::string& id : failed)
            if (auto found = live.find(id); found != live.end()) {
                found->second.suspect = true;
                through = std::min(through, found->second.sequence - 1);
            }
    }
    settled = std::max(settled, through);
    std::erase_if(live, [&](const auto& m) { return m.second.sequence <= through; });
    append_settled();
}

// With the lock held.
void journal::impl::append_settled() {
    if (stopping)
        return;
    queue.push_back(
        {record_kind::settled, config.sync ? urgency::flushed : urgency::riding, {}, {}, {}, settled, {}});
    urgent = true;
    work.notify_one();
}

// From the segment, which is not used again while the record is needed.
base::result<accepted_bytes> journal::impl::accepted(const std::string& id) {
    live_message where;
    {
        std::lock_guard lock(mutex);
        auto found = live.find(id);
        if (found == live.end())
            return base::error{{}, "no record of " + id};
        where = found->second;
    }
    std::string bytes(where.size, '\0');
    auto got = dir.files().read_at(where.where->file, where.offset, bytes);
    if (got.has_error())
        return got.error();
    auto found = parse_record(bytes, where.where->header.key);
    if (!found || found->id != id)
        return base::error{{}, "damaged record of " + id};
    return accepted_bytes{std::string(found->envelope), std::string(found->content)};
}

// At the end, when nothing needs them.
void journal::impl::remove_segments() {
    std::lock_guard lock(mutex);
    if (current)
        full.push_back(std::move(current));
    bool needed_still = last_unsettled > settled || !open.empty();
    if (!needed_still)
        for (auto& s : full)
            free.push_back(std::move(s));
    full.clear();
    for (auto& s : free)
        (void)dir.remove(s->name);
    free.clear();
}

} // namespace spool
