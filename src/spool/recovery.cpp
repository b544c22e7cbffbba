// Reads downwards: recover() takes hold of the journals of dead owners, reads them, sees to each message they
// tell of, flushes, and removes them.
#include "spool/recovery.hpp"

#include "os/machine.hpp"
#include "spool/checkpoint.hpp"
#include "spool/content_edits.hpp"
#include "spool/names.hpp"
#include "spool/recovery_index.hpp"
#include "spool/segment.hpp"
#include "spool/shared_content.hpp"

#include <boost/system/errc.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <map>
#include <optional>
#include <set>
#include <utility>
#include <vector>

namespace spool {

namespace {

namespace errc = boost::system::errc;

constexpr std::array envelope_states{envelope_suffix, busy_suffix, bad_suffix, held_suffix};

struct dead_segment {
    std::string name;
    os::file file; // locked by us now
    std::uint64_t size = 0;
    std::optional<segment_header> header;
    bool memory_survived = false;
};

// How a file compares with what was accepted.
enum class likeness {
    missing,
    equal,
    damaged, // short, or zeros in the place of what was never written to the disk
    different,
};

likeness compare(const std::optional<std::string>& present, std::string_view accepted) {
    constexpr std::size_t sector = 512;
    if (!present)
        return likeness::missing;
    if (*present == accepted)
        return likeness::equal;
    if (present->size() > accepted.size())
        return likeness::different;
    for (std::size_t at = 0; at < present->size(); at += sector) {
        auto piece = std::string_view(*present).substr(at, sector);
        bool zeros = piece.find_first_not_of('\0') == std::string_view::npos;
        if (!zeros && piece != accepted.substr(at, piece.size()))
            return likeness::different;
    }
    return likeness::damaged;
}

// Zeros, or a first use that was cut off.
bool never_used(std::string_view block) {
    return block.starts_with(journal_magic) || block.find_first_not_of('\0') == std::string_view::npos;
}

class recovery {
public:
    explicit recovery(core& shared)
        : core_(shared), dir_(shared.dir), log_(shared.log), boot_(os::boot_id()) {}

    base::result<void> run();

private:
    using segments = std::vector<dead_segment>;
    struct envelope_found {
        std::string name;
        std::string_view state;
        std::string text;
        bool whole = false;
    };

    base::result<void> find_dead();
    bool take(const std::vector<std::string>& names, segments& taken);
    base::result<void> read_journals();
    base::result<void> see_to(const std::string& id, const message_notes& notes);
    base::result<void> complete_removal(const std::string& id);
    base::result<void> keep_promise(const std::string& id, const message_notes::promise& p, bool again);
    base::result<void> check_live(const std::string& id, const accepted_bytes& bytes,
                                  const std::optional<envelope_found>& envelope);
    base::result<void> check_after_power_cut(const std::string& id, const accepted_bytes& bytes,
                                             const std::optional<envelope_found>& envelope, bool again);
    base::result<void> restore(const std::string& id, const accepted_bytes& bytes,
                               const std::string& envelope_name, bool write_envelope, bool write_content);
    base::result<void> restore_under_new_name(const std::string& id, const accepted_bytes& bytes);
    base::result<void> release_claim(const std::string& id);
    void find_leftovers(const std::string& id, const message_notes& notes);
    void remove_contents();
    void remove_temporaries(const std::string& id);
    base::result<void> flush();
    base::result<void> remove_journals();

    base::result<accepted_bytes> accepted(const journal_note& n) const;
    std::optional<std::string> read(const std::string& name) const;
    base::result<std::optional<envelope_found>> find_envelope(const std::string& id) const;
    base::result<bool> is_locked(const std::string& name) const;

    core& core_;
    folder& dir_;
    const base::logger& log_;
    const std::string boot_;
    segments dead_;
    std::vector<owner_notes> owners_;
    std::map<std::string, journal_note> to_flush_;
    std::set<std::string, std::less<>> without_envelope_; // messages that were perhaps being deleted
};

base::result<void> recovery::run() {
    if (auto found = find_dead(); found.has_error() || dead_.empty())
        return found;
    if (auto known = read_journals(); known.has_error())
        return known;
    for (const auto& [id, notes] : combine(std::move(owners_)))
        if (auto done = see_to(id, notes); done.has_error())
            return done; // the journals stay, and with them the promises
    remove_contents();
    if (auto flushed = flush(); flushed.has_error())
        return flushed;
    return remove_journals();
}

base::result<void> recovery::find_dead() {
    std::map<std::string, std::vector<std::string>, std::less<>> owners;
    auto listed = dir_.files().list(dir_.directory(), [&](std::string_view name) {
        if (name.starts_with(restore_prefix))
            (void)dir_.remove(std::string(name)); // of a recovery that was cut off
        else if (!owner_part(name).empty() && !core_.records.owns(name))
            owners[std::string(owner_part(name))].emplace_back(name);
    });
    if (listed.has_error())
        return listed;
    for (const auto& [owner, names] : owners) {
        segments taken;
        if (take(names, taken))
            std::move(taken.begin(), taken.end(), std::back_inserter(dead_));
    }
    return {};
}

// All segments of one owner, or none: he lives if one of them is locked.
bool recovery::take(const std::vector<std::string>& names, segments& taken) {
    for (const std::string& name : names) {
        auto opened = dir_.open(name, os::open_mode::read_write);
        if (opened.has_error()) {
            if (opened.error().code == errc::no_such_file_or_directory)
                continue; // being closed just now
            log_.warning("cannot read journal: {}", opened.error().message());
            return false;
        }
        auto locked = dir_.files().try_lock(*opened, true);
        auto about = dir_.files().status(*opened);
        if (locked.has_error() || !*locked || about.has_error())
            return false;
        dead_segment s{name, std::move(*opened), about->size, std::nullopt, false};
        std::string block(journal_block, '\0');
        auto got = dir_.files().read_at(s.file, 0, block);
        if (got.has_error()) {
            log_.warning("cannot read journal {}: {}", name, got.error().message());
            return false;
        }
        block.resize(*got);
        s.header = parse_header(block);
        if (!s.header && !never_used(block)) {
            log_.warning("journal of an unknown form: {}", name);
            return false;
        }
        s.memory_survived = s.header && !boot_.empty() && s.header->boot == boot_ &&
                            s.header->device == about->device && s.header->inode == about->inode;
        taken.push_back(std::move(s));
    }
    return true;
}

base::result<void> recovery::read_journals() {
    std::map<std::string, owner_notes, std::less<>> owners;
    for (std::size_t i = 0; i < dead_.size(); ++i) {
        const dead_segment& s = dead_[i];
        if (!s.header)
            continue; // made and never used
        std::string bytes(s.size, '\0');
        auto got = dir_.files().read_at(s.file, 0, bytes);
        if (got.has_error())
            return base::error{got.error().code, "read " + s.name};
        bytes.resize(*got);
        auto [at, first] = owners.try_emplace(std::string(owner_part(s.name)));
        owner_notes& owner = at->second;
        owner.memory_survived = s.memory_survived && (first || owner.memory_survived);
        read_records(bytes, s.header->key, [&](const record& r, std::size_t offset) {
            owner.notes.push_back(
                {r.kind, r.sequence, r.time, r.number, std::string(r.id), i, offset, size_of(r)});
        });
    }
    for (auto& [name, notes] : owners)
        owners_.push_back(std::move(notes));
    return {};
}

base::result<void> recovery::see_to(const std::string& id, const message_notes& notes) {
    if (notes.removal_open && !notes.memory_survived && notes.promises.empty() && !notes.claim_open)
        if (auto removed = complete_removal(id); removed.has_error())
            return removed;
    bool again = false;
    for (const message_notes::promise& p : notes.promises) {
        if (auto kept = keep_promise(id, p, again); kept.has_error())
            return kept;
        again = true;
    }
    // After a rename back that the machine remembers a `.busy` is somebody else's. After a power cut one of a
    // message that is not settled is ours also without a claim (spool/journal.hpp).
    const bool may_be_busy = notes.may_be_busy || !notes.promises.empty();
    if (notes.claim_open || (may_be_busy && !notes.memory_survived))
        if (auto released = release_claim(id); released.has_error())
            return released;
    find_leftovers(id, notes);
    return {};
}

// Deleted, but the disk has it still. The content goes last, as always.
base::result<void> recovery::complete_removal(const std::string& id) {
    for (std::string_view state : envelope_states) {
        std::string name = name_of(id, state);
        auto locked = is_locked(name);
        if (locked.has_error())
            return locked.error();
        if (*locked)
            return {};
        (void)dir_.remove(name);
    }
    (void)dir_.remove(name_of(id, content_suffix));
    return {};
}

base::result<void> recovery::keep_promise(const std::string& id, const message_notes::promise& p,
                                          bool again) {
    auto bytes = accepted(p.record);
    if (bytes.has_error())
        return bytes.error();
    auto envelope = find_envelope(id);
    if (envelope.has_error()) { // a directory, say, or a bad sector: whatever it is, it stays
        if (base::is_temporary(envelope.error().code))
            return envelope.error();
        log_.warning("cannot read the envelope of [{}]: {}", id, envelope.error().message());
        return p.memory_survived ? base::result<void>() : restore_under_new_name(id, *bytes);
    }
    to_flush_[id] = p.record;
    if (p.memory_survived)
        return check_live(id, *bytes, *envelope);
    return check_after_power_cut(id, *bytes, *envelope, again);
}

// The process has ended, the machine has not: nothing is missing but what never was there or was removed on
// purpose.
base::result<void> recovery::check_live(const std::string& id, const accepted_bytes& bytes,
                                        const std::optional<envelope_found>& envelope) {
    if (!envelope) {
        // A commit cut off before its last step, the rename; nobody was told that the message is accepted.
        std::string envelope_new = name_of(id, new_suffix), content = name_of(id, content_suffix);
        auto like = compare(read(envelope_new), bytes.envelope);
        if (like != likeness::equal && like != likeness::damaged)
            return {};
        like = compare(read(content), bytes.content);
        if (like == likeness::equal || like == likeness::damaged)
            (void)dir_.remove(content);
        (void)dir_.remove(envelope_new);
        return {};
    }
    if (envelope->state == busy_suffix) {
        auto locked = is_locked(envelope->name);
        if (locked.has_error())
            return locked.error();
        if (*locked)
            return {};
    }
    bool bad_envelope = !envelope->whole && compare(envelope->text, bytes.envelope) == likeness::damaged;
    likeness content = compare(read(name_of(id, content_suffix)), bytes.content);
    bool bad_content = content == likeness::missing || content == likeness::damaged;
    return restore(id, bytes, envelope->name, bad_envelope, bad_content);
}

base::result<void> recovery::check_after_power_cut(const std::string& id, const accepted_bytes& bytes,
                                                   const std::optional<envelope_found>& envelope,
                                                   bool again) {
    likeness content = compare(read(name_of(id, content_suffix)), bytes.content);
    if (!envelope) {
        auto restored = restore(id, bytes, name_of(id, envelope_suffix), true, content != likeness::equal);
        if (restored.has_value())
            (void)dir_.remove(name_of(id, new_suffix));
        return restored;
    }
    // Our own text, perhaps with lines appended when the message failed; or edited by others, or not ours at
    // all.
    bool ours = !envelope->whole || envelope->text.starts_with(bytes.envelope);
    bool edited = !again && (content == likeness::equal || content == likeness::damaged);
    if (!ours && !edited && content != likeness::missing)
        return restore_under_new_name(id, bytes);
    return restore(id, bytes, envelope->name, !envelope->whole, content != likeness::equal);
}

base::result<void> recovery::restore(const std::string& id, const accepted_bytes& bytes,
                                     const std::string& envelope_name, bool write_envelope,
                                     bool write_content) {
    if (!write_envelope && !write_content)
        return {};
    log_.warning("restoring message [{}] from the journal", id);
    if (write_content) // first: an envelope stands for a message that is complete
        if (auto done = dir_.replace(name_of(id, content_suffix), bytes.content); done.has_error())
            return done;
    if (write_envelope)
        return dir_.replace(envelope_name, bytes.envelope);
    return {};
}

// Somebody else's message has the name.
base::result<void> recovery::restore_under_new_name(const std::string& id, const accepted_bytes& bytes) {
    constexpr int attempts = 100;
    base::result<void> outcome;
    for (int i = 0; i < attempts; ++i) {
        std::string other = core_.ids.next();
        std::string content = name_of(other, content_suffix), envelope_new = name_of(other, new_suffix);
        outcome = dir_.write_new(content, bytes.content, true);
        if (outcome.has_value()) {
            outcome = dir_.write_new(envelope_new, bytes.envelope, true);
            if (outcome.has_value())
                outcome = dir_.rename_new(envelope_new, name_of(other, envelope_suffix));
            if (outcome.has_value()) {
                log_.warning("restoring message [{}] from the journal as [{}]", id, other);
                return {};
            }
            (void)dir_.remove(envelope_new);
            (void)dir_.remove(content);
        }
        if (outcome.error().code != errc::file_exists)
            break;
    }
    return outcome;
}

base::result<void> recovery::release_claim(const std::string& id) {
    std::string busy = name_of(id, busy_suffix), ready = name_of(id, envelope_suffix);
    auto there = dir_.status(busy);
    if (there.has_error())
        return there.error().code == errc::no_such_file_or_directory ? base::result<void>() : there.error();
    auto locked = is_locked(busy);
    if (locked.has_error())
        return locked.error();
    if (*locked)
        return {};
    remove_temporaries(id);
    auto back = dir_.rename_new(busy, ready);
    if (back.has_value()) {
        log_.warning("unlocking [{}]: left by a process that has ended", busy);
        return {};
    }
    auto other = dir_.status(ready);
    if (other.has_value() && other->same_file(*there)) // half a rename
        return dir_.remove(busy);
    log_.warning("cannot unlock [{}]: {}", busy, back.error().message());
    if (back.error().code == errc::file_exists)
        return {};
    return back;
}

// Files of a message that was never accepted, or that was being deleted.
void recovery::find_leftovers(const std::string& id, const message_notes& notes) {
    bool never_accepted = notes.begun && !notes.claim_open && !notes.may_be_busy;
    bool being_deleted = notes.claim_open && notes.memory_survived;
    if (!never_accepted && !being_deleted)
        return;
    for (std::string_view state : envelope_states)
        if (dir_.exists(name_of(id, state)))
            return;
    if (never_accepted) {
        (void)dir_.remove(name_of(id, new_suffix));
        remove_temporaries(id);
        (void)dir_.remove(name_of(id, content_suffix));
    } else if (dir_.exists(name_of(id, content_suffix)))
        without_envelope_.insert(id);
}

// That a claim is open does not say that the envelope was deleted: it is announced before it is taken.
// Meanwhile somebody may have put it aside under a longer name, or into the sub-directory of a POP user who
// shares the content. Unless all of these can be looked at nothing is deleted.
void recovery::remove_contents() {
    if (without_envelope_.empty())
        return;
    auto sub_directories = sub_directories_of(core_);
    if (sub_directories.has_error())
        return;
    if (auto known = leave_out_needed(without_envelope_, dir_, *sub_directories); known.has_error())
        return;
    for (const std::string& id : without_envelope_)
        (void)dir_.remove(name_of(id, content_suffix));
}

// Of an update or a filter that was cut off: what was to take the place of a file.
void recovery::remove_temporaries(const std::string& id) {
    for (std::string_view suffix : {rewrite_suffix, std::string_view(".envelope.new.tmp")})
        (void)dir_.remove(name_of(id, suffix));
    for (std::string_view suffix : content_edits::all)
        (void)dir_.remove(name_of(id, content_suffix).append(suffix));
}

// With the journals go the promises: from here on the files alone must hold.
base::result<void> recovery::flush() {
    std::vector<survivor> messages;
    for (const auto& [id, where] : to_flush_)
        messages.push_back({id, false});
    std::vector<std::string> failed;
    auto outcome = flush_messages(
        dir_, messages, [this](const std::string& id) { return accepted(to_flush_.at(id)); }, failed);
    if (outcome.has_value() && !failed.empty())
        return base::make_error(EIO, "flush " + failed.front());
    return outcome;
}

base::result<void> recovery::remove_journals() {
    for (const dead_segment& s : dead_)
        if (auto removed = dir_.remove(s.name); removed.has_error())
            return removed;
    return dir_.flush();
}

base::result<accepted_bytes> recovery::accepted(const journal_note& n) const {
    const dead_segment& s = dead_[n.segment];
    std::string bytes(n.size, '\0');
    auto got = dir_.files().read_at(s.file, n.offset, bytes);
    if (got.has_error())
        return base::error{got.error().code, "read " + s.name};
    auto found = parse_record(std::span(bytes).first(*got), s.header->key);
    if (!found)
        return base::make_error(EIO, "read " + s.name);
    return accepted_bytes{std::string(found->envelope), std::string(found->content)};
}

std::optional<std::string> recovery::read(const std::string& name) const {
    constexpr std::uint64_t limit = std::uint64_t{1} << 30;
    auto text = dir_.read(name, limit);
    return text.has_value() ? std::optional(std::move(*text)) : std::nullopt;
}

// In whichever state it is; a whole one before one that is cut off.
base::result<std::optional<recovery::envelope_found>> recovery::find_envelope(const std::string& id) const {
    std::optional<envelope_found> found;
    for (std::string_view state : envelope_states) {
        std::string name = name_of(id, state);
        auto text = dir_.read(name, max_envelope_size);
        if (text.has_error()) {
            if (text.error().code == errc::no_such_file_or_directory)
                continue;
            return text.error();
        }
        bool whole = mail::parse_envelope(*text).has_value();
        if (!found || (whole && !found->whole))
            found = envelope_found{std::move(name), state, std::move(*text), whole};
    }
    return found;
}

// What cannot be opened for reasons of its own (permissions, a directory) was never in our hands.
base::result<bool> recovery::is_locked(const std::string& name) const {
    auto opened = dir_.open(name, os::open_mode::read);
    if (opened.has_value())
        return dir_.files().locked_by_others(*opened);
    if (opened.error().code == errc::io_error || base::is_temporary(opened.error().code))
        return opened.error();
    return false;
}

} // namespace

bool any_owner_is_dead(folder& dir, const segment_names& names) {
    return std::any_of(names.begin(), names.end(), [&](const std::string& name) {
        auto opened = dir.open(name, os::open_mode::read);
        if (opened.has_error())
            return false;
        auto locked = dir.files().locked_by_others(*opened);
        return locked.has_value() && !*locked;
    });
}

base::result<void> recover(core& shared, bool wait) {
    auto guard = shared.dir.files().open_directory(shared.dir.path());
    if (guard.has_error())
        return guard.error();
    auto alone = shared.dir.files().lock_directory(*guard, wait);
    if (alone.has_value() && !*alone)
        return {};
    // Where directories cannot be locked (some network file systems) the locks on the segments have to do.
    return recovery(shared).run();
}

} // namespace spool
