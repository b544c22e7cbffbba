#include "spool/directory_index.hpp"

#include "os/thread_name.hpp"

#include <algorithm>
#include <utility>
#include <variant>

namespace spool {

using std::chrono::steady_clock;

namespace {

constexpr std::chrono::minutes trusted_for{10};

// Changes are taken in together, so that a busy spool does not wake the thread for each: the kernel keeps
// 16,384 of them unless told otherwise.
constexpr std::chrono::milliseconds rest{20};

// What a name in the directory is. The texts are parts of that name.
struct of_no_interest {};
struct foreign_id { // of a ready message, made by another program
    std::string_view text;
};
struct segment {
    std::string_view name;
};
struct other_name {
    std::string_view text;
};
using meaning = std::variant<of_no_interest, message_name, foreign_id, segment, other_name>;

meaning meaning_of(std::string_view name) {
    if (name.starts_with(journal_prefix))
        return segment{name};
    if (name.starts_with(restore_prefix)) // may end like an envelope
        return of_no_interest{};
    if (std::string_view id = id_of(name, envelope_suffix); !id.empty()) {
        auto ours = parse_name(id);
        return ours ? meaning(*ours) : foreign_id{id};
    }
    bool hidden = name.starts_with('.');
    bool of_a_message = name.ends_with(content_suffix) || name.find(envelope_suffix) != name.npos;
    return hidden || of_a_message ? meaning(of_no_interest{}) : other_name{name};
}

template <class... Actions>
struct for_each_meaning : Actions... {
    using Actions::operator()...;
};
template <class... Actions>
for_each_meaning(Actions...) -> for_each_meaning<Actions...>;

// What is there already keeps its number, for those who are on their way through.
template <class Map>
void replace_by(Map& present, std::vector<typename Map::key_type> found, std::uint64_t arrival) {
    auto before = present.key_comp();
    std::sort(found.begin(), found.end(), before);
    auto at = present.begin();
    for (auto& key : found) {
        while (at != present.end() && before(at->first, key))
            at = present.erase(at);
        if (at != present.end() && !before(key, at->first))
            ++at;
        else
            present.emplace_hint(at, std::move(key), arrival);
    }
    present.erase(at, present.end());
}

// The ids behind `last` that came in time, until there are `most`.
template <class Map, class ToId>
void collect(const Map& from, std::optional<typename Map::key_type>& last, std::uint64_t before,
             std::size_t most, ToId to_id, std::vector<std::string>& ids) {
    for (auto at = last ? from.upper_bound(*last) : from.begin(); at != from.end() && ids.size() < most; ++at)
        if (at->second < before) {
            ids.push_back(to_id(at->first));
            last = at->first;
        }
}

} // namespace

directory_index::directory_index(const folder& dir, bool watch,
                                 std::function<bool(std::string_view)> is_own_segment, base::logger log)
    : dir_(dir), wants_watch_(watch), is_own_segment_(std::move(is_own_segment)), log_(std::move(log)) {
    if (watch)
        follower_ = std::thread([this] { follow(); });
}

directory_index::~directory_index() {
    stop();
}

void directory_index::stop() {
    {
        std::lock_guard lock(mutex_);
        stopping_ = true;
        if (watch_)
            watch_->end();
    }
    changed_.notify_all();
    if (follower_.joinable())
        follower_.join();
}

void directory_index::follow() {
    os::name_thread("index");
    std::unique_lock lock(mutex_);
    while (!stopping_) {
        changed_.wait(lock, [this] { return stopping_ || watch_; });
        std::shared_ptr<os::directory_watch> watched = watch_;
        lock.unlock();
        if (watched)
            watched->wait();
        lock.lock();
        take_in_changes();
        changed_.wait_for(lock, rest, [this] { return stopping_; });
    }
}

base::result<void> directory_index::refresh(look how) {
    std::lock_guard lock(mutex_);
    return bring_up_to_date(how);
}

base::result<void> directory_index::bring_up_to_date(look how) {
    take_in_changes();
    if (!watch_ && wants_watch_)
        start_watch();
    bool old = steady_clock::now() - last_read_ >= trusted_for;
    if (!watch_ || !complete_ || how == look::at_the_directory || (how == look::now_and_then && old))
        return read_directory();
    return {};
}

void directory_index::start_watch() {
    complete_ = false;
    auto made = dir_.files().watch(dir_.directory());
    if (made.has_value()) {
        watch_ = std::move(*made);
        changed_.notify_all();
        return;
    }
    std::string why = made.error().message();
    if (why != std::exchange(why_not_watched_, why))
        log_.verbose("spool: the whole directory is read each time: {}", why);
}

base::result<void> directory_index::read_directory() {
    std::vector<message_name> ready;
    std::vector<std::string> ready_foreign;
    names segments, others;
    const for_each_meaning take{[](of_no_interest) {},
                                [&](const message_name& name) { ready.push_back(name); },
                                [&](foreign_id id) { ready_foreign.emplace_back(id.text); },
                                [&](segment found) {
                                    if (!is_own_segment_(found.name))
                                        segments.emplace(found.name);
                                },
                                [&](other_name name) {
                                    others.emplace(name.text);
                                }};
    auto listed = dir_.files().list(dir_.directory(),
                                    [&](std::string_view name) { std::visit(take, meaning_of(name)); });
    if (listed.has_error())
        return listed;
    ++last_arrival_;
    replace_by(ready_, std::move(ready), last_arrival_);
    replace_by(ready_foreign_, std::move(ready_foreign), last_arrival_);
    segments_ = std::move(segments);
    other_names_ = std::move(others);
    last_read_ = steady_clock::now();
    complete_ = true;
    take_in_changes(); // since then, or while it was read: those may be in it already, which does no harm
    return {};
}

void directory_index::take_in_changes() {
    if (!watch_ || stopping_)
        return;
    using os::directory_watch;
    ++last_arrival_;
    auto state = watch_->read([this](directory_watch::change what, std::string_view name) {
        if (what == directory_watch::change::came)
            came(name);
        else
            went(name);
    });
    if (state != directory_watch::state::following)
        complete_ = false;
    if (state == directory_watch::state::ended)
        watch_.reset();
}

void directory_index::came(std::string_view name) {
    const for_each_meaning take_in{
        [](of_no_interest) {},
        [this](const message_name& message) {
            ready_.try_emplace(ready_.end(), message, last_arrival_); // mostly it is the youngest of all
        },
        [this](foreign_id id) { ready_foreign_.try_emplace(std::string(id.text), last_arrival_); },
        [this](segment found) {
            if (!is_own_segment_(found.name))
                segments_.emplace(found.name);
        },
        [this](other_name found) {
            other_names_.emplace(found.text);
        }};
    std::visit(take_in, meaning_of(name));
}

void directory_index::went(std::string_view name) {
    auto erase = [](names& from, std::string_view gone) {
        if (auto at = from.find(gone); at != from.end())
            from.erase(at);
    };
    const for_each_meaning drop{[](of_no_interest) {},
                                [this](const message_name& message) { ready_.erase(message); },
                                [this](foreign_id id) { ready_foreign_.erase(std::string(id.text)); },
                                [&](segment gone) { erase(segments_, gone.name); },
                                [&](other_name gone) {
                                    erase(other_names_, gone.text);
                                }};
    std::visit(drop, meaning_of(name));
}

directory_index::place directory_index::beginning() const {
    std::lock_guard lock(mutex_);
    place first;
    first.count_ = ready_.size() + ready_foreign_.size();
    first.before_ = last_arrival_ + 1;
    return first;
}

std::vector<std::string> directory_index::next(place& from, std::size_t most) {
    std::lock_guard lock(mutex_);
    take_in_changes();
    std::vector<std::string> ids;
    collect(ready_, from.last_, from.before_, most, format_name, ids);
    collect(
        ready_foreign_, from.last_foreign_, from.before_, most, [](const auto& id) { return id; }, ids);
    return ids;
}

directory_index::names directory_index::segments() const {
    std::lock_guard lock(mutex_);
    return segments_;
}

base::result<std::vector<std::string>> directory_index::other_names() {
    std::lock_guard lock(mutex_);
    if (auto current = bring_up_to_date(look::at_changes); current.has_error())
        return current.error();
    return std::vector<std::string>(other_names_.begin(), other_names_.end());
}

} // namespace spool
