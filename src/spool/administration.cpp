// What administrators do to single messages. A state is the envelope's name, so every change of state is a
// rename, and of two who want the same message one finds the name gone: no lock is needed against forwarders.
//
// A removal is noted in the journal before anything is deleted: if the process ends in between, recovery
// removes the content too. Of the state of a message the journal knows nothing: restoring one that is held
// would send it. So before one is held or deleted its files are flushed, and the journal forgets it.
#include "spool/checkpoint.hpp"
#include "spool/core.hpp"
#include "spool/names.hpp"
#include "spool/store.hpp"
#include "spool/store_impl.hpp"

#include <boost/system/errc.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <span>
#include <utility>

namespace spool {

namespace {

namespace errc = boost::system::errc;

constexpr std::size_t beginning_size = 8 * 1024;

struct state_name {
    message_state state;
    std::string_view suffix;
};
constexpr std::array state_names{
    state_name{message_state::ready, envelope_suffix}, state_name{message_state::busy, busy_suffix},
    state_name{message_state::failed, bad_suffix}, state_name{message_state::held, held_suffix}};

std::string_view suffix_of(message_state s) {
    return state_names[static_cast<std::size_t>(s)].suffix;
}

bool is_missing(const base::error& e) {
    return e.code == errc::no_such_file_or_directory;
}

std::optional<message_state> find(const folder& dir, const std::string& id) {
    if (is_name(id))
        for (const state_name& s : state_names)
            if (dir.exists(name_of(id, s.suffix)))
                return s.state;
    return std::nullopt;
}

base::error not_there(const folder& dir, const std::string& id) {
    auto found = find(dir, id);
    if (!found)
        return {{}, "no such message"};
    switch (*found) {
    case message_state::ready:
        return {{}, "message is ready to be forwarded"};
    case message_state::busy:
        return {{}, "message is being forwarded"};
    case message_state::failed:
        return {{}, "message has failed"};
    case message_state::held:
        break;
    }
    return {{}, "message is held"};
}

base::result<void> change(folder& dir, const std::string& id, message_state from, message_state to) {
    if (!is_name(id))
        return not_there(dir, id);
    auto renamed = dir.rename_new(name_of(id, suffix_of(from)), name_of(id, suffix_of(to)));
    if (renamed.has_error() && is_missing(renamed.error()))
        return not_there(dir, id);
    return renamed;
}

// From here on the message stands by its files alone: nothing brings it back in another state than theirs.
base::result<void> leave_journal(core& shared, const std::string& id) {
    if (!shared.config.sync)
        return {};
    const survivor message{id};
    const auto nothing = [](const std::string& which) -> base::result<accepted_bytes> {
        return base::make_error(EIO, "flush " + which);
    };
    std::vector<std::string> failed;
    auto flushed = flush_messages(shared.dir, std::span(&message, 1), nothing, failed);
    if (flushed.has_error())
        return flushed;
    if (!failed.empty())
        return nothing(id).error();
    return shared.records.forget(id);
}

base::result<void> change_for_good(core& shared, const std::string& id, message_state from,
                                   message_state to) {
    auto changed = change(shared.dir, id, from, to);
    if (changed.has_error() || !shared.config.sync)
        return changed;
    return shared.dir.flush();
}

} // namespace

base::result<std::vector<std::string>> store::list(message_state which) {
    std::string_view suffix = suffix_of(which);
    auto names = impl_->list(suffix);
    if (names.has_error())
        return names;
    std::sort(names->begin(), names->end());
    for (std::string& name : *names)
        name.resize(name.size() - suffix.size());
    return names;
}

base::result<message_report> store::look_at(const std::string& id) {
    folder& dir = impl_->shared->dir;
    auto found = find(dir, id);
    if (!found)
        return not_there(dir, id);
    message_report report;
    report.state = *found;
    auto text = dir.read(name_of(id, suffix_of(*found)), max_envelope_size);
    if (text.has_error()) {
        report.problem = text.error().message();
    } else {
        auto parsed = mail::parse_envelope(*text);
        if (parsed.has_error()) {
            report.problem = parsed.error().message();
        } else {
            report.envelope = std::move(parsed->value);
            report.extra = std::move(parsed->extra);
        }
    }
    auto content = dir.open_content(name_of(id, content_suffix));
    if (content.has_error()) {
        if (report.problem.empty())
            report.problem = "cannot open content file";
        return report;
    }
    report.content_size = content->about.size;
    report.beginning.resize(beginning_size);
    auto got = dir.files().read_at(content->file, 0, report.beginning);
    report.beginning.resize(got.has_value() ? *got : 0);
    return report;
}

base::result<void> store::hold(const std::string& id) {
    core& shared = *impl_->shared;
    auto changed = change(shared.dir, id, message_state::ready, message_state::held);
    return changed.has_error() ? changed : leave_journal(shared, id);
}

base::result<void> store::let_go(const std::string& id) {
    return change_for_good(*impl_->shared, id, message_state::held, message_state::ready);
}

base::result<void> store::unfail(const std::string& id) {
    return change_for_good(*impl_->shared, id, message_state::failed, message_state::ready);
}

base::result<std::size_t> store::unfail_all() {
    core& shared = *impl_->shared;
    auto ids = list(message_state::failed);
    if (ids.has_error())
        return ids.error();
    std::size_t done = 0;
    for (const std::string& id : *ids)
        if (auto changed = change(shared.dir, id, message_state::failed, message_state::ready);
            changed.has_value())
            ++done;
    if (done != 0 && shared.config.sync)
        if (auto flushed = shared.dir.flush(); flushed.has_error())
            return flushed.error();
    return done;
}

base::result<void> store::remove(const std::string& id) {
    core& shared = *impl_->shared;
    folder& dir = shared.dir;
    auto now = find(dir, id);
    if (!now || *now == message_state::busy)
        return not_there(dir, id); // the journal must not take a claim of others for one of ours
    std::uint64_t number = shared.claims.next();
    auto known = shared.records.append_and_wait(record_kind::claim, id, urgency::written, number);
    auto outcome = known.has_error() ? known.error() : leave_journal(shared, id);
    bool deleted = false;
    for (message_state s : {message_state::ready, message_state::failed, message_state::held}) {
        if (outcome.has_error())
            break;
        auto removed = dir.remove(name_of(id, suffix_of(s)));
        if (removed.has_value())
            deleted = true;
        else if (!is_missing(removed.error()))
            outcome = removed;
    }
    if (outcome.has_value() && !deleted)
        outcome = not_there(dir, id);
    if (!deleted) {
        shared.records.append(record_kind::released, id, urgency::riding, number);
        return outcome;
    }
    if (outcome.has_value() && !dir.exists(name_of(id, busy_suffix)))
        outcome = dir.remove(name_of(id, content_suffix));
    if (outcome.has_error() && is_missing(outcome.error()))
        outcome = {};
    shared.records.append(record_kind::done, id, urgency::riding, number);
    if (outcome.has_value() && shared.config.sync)
        outcome = dir.flush();
    return outcome;
}

} // namespace spool
