// The spool directory: messages as pairs of text files, committed durably (spec/spool.md, design.md section
// 4).
//
// Thread-safe. Functions marked [blocks] do file work and belong on a disk thread; the others never wait.
// The files are the truth while the machine runs; the journal matters only after a crash.
#pragma once

#include "base/log.hpp"
#include "base/result.hpp"
#include "mail/envelope.hpp"
#include "os/worker_pool.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace os {
class filesystem;
}

namespace spool {

struct settings {
    std::string directory;                   // absolute
    bool sync = true;                        // --no-sync clears it
    std::size_t hold_in_memory = 64 * 1024;  // content octets of one message held before they go to its file
    std::size_t journal_limit = 256 * 1024;  // larger content is flushed as files instead
    std::uint64_t journal_segment = 4 << 20; // octets of one segment, at most; the first ones are smaller
    std::uint64_t journal_size = 128 << 20;  // all segments; less when the file system has little room
    std::chrono::milliseconds checkpoint{1000};
    bool watch = true; // ready() and other_names() will be asked often: see look
};

// How to find out what is in the directory. Without settings::watch, and where the kernel does not tell of
// changes, the whole of it is read in any case.
enum class look {
    at_changes,       // since the last time
    now_and_then,     // the same, but at the whole directory if that was last read more than ten minutes ago
    at_the_directory, // the whole of it
};

class commit_message;
class commit_staged;
class folder;
class mailbox;
class store;

// A message being received. Owned by one session, used by one thread at a time. Destroying it (or
// store::discard, which does so off the network thread) removes what it wrote, unless it was committed.
class new_message {
public:
    new_message(new_message&&) noexcept;
    new_message& operator=(new_message&&) noexcept;
    ~new_message();

    const std::string& id() const noexcept; // "emailrelay.<pid>.<time>.<seq>"

    // Takes octets into memory; never waits. When `needs_write()` call write() on a disk thread before more.
    void append(std::span<const char> bytes);
    bool needs_write() const noexcept;
    void
    write(); // [blocks] the held octets go to the content file; a failure is remembered and shows at commit

    std::uint64_t size() const noexcept;

private:
    friend class store;
    friend class commit_message;
    struct state;
    explicit new_message(std::unique_ptr<state> s);
    std::unique_ptr<state> state_;
};

// A message whose files stand in the spool for filters to look at and edit, not yet accepted:
// `<id>.content` and `<id>.envelope.new`, closed and unlocked. Destroying it [blocks] (or store::discard,
// which does so off the network thread) removes them, unless it was committed.
class staged_message {
public:
    staged_message(staged_message&&) noexcept;
    staged_message& operator=(staged_message&&) noexcept;
    ~staged_message();

    const std::string& id() const noexcept;
    std::string content_path() const; // absolute
    std::string envelope_path() const;

private:
    friend class store;
    friend class commit_staged;
    struct state;
    explicit staged_message(std::unique_ptr<state> s);
    std::unique_ptr<state> state_;
};

// A message taken for forwarding: its envelope is locked as `.busy`. Destroying it without settling it
// releases it [blocks]; so settle it by finish, fail, fail_partly or release.
class claimed_message {
public:
    claimed_message(claimed_message&&) noexcept;
    claimed_message& operator=(claimed_message&&) noexcept;
    ~claimed_message();

    const std::string& id() const noexcept; // file name without ".envelope"; need not be of our form
    const mail::envelope& envelope() const noexcept;
    std::uint64_t content_size() const noexcept;

    std::string content_path() const; // absolute
    std::string envelope_path() const;

    // [blocks] Content octets in order, 0 at the end.
    base::result<std::size_t> read(std::span<char> into);

    // [blocks] Reads both files again, from the beginning, after others have worked on them; what they have
    // changed is flushed. no_such_file_or_directory: the envelope is gone, and there is nothing to settle.
    base::result<void> reload();

private:
    friend class store;
    struct state;
    explicit claimed_message(std::unique_ptr<state> s);
    std::unique_ptr<state> state_;
};

// The messages that were ready at one moment, oldest first: by the time in the name, then sequence; foreign
// names last in byte order. A way through them, not a list: it takes no more memory for many. For one thread
// at a time.
class ready_messages {
public:
    ready_messages(ready_messages&&) noexcept;
    ready_messages& operator=(ready_messages&&) noexcept;
    ~ready_messages();

    std::size_t count() const noexcept; // at that moment

    // [blocks] Ids of the next ones, `most` at most; those that are known to have gone are left out. None:
    // that was all.
    std::vector<std::string> next(std::size_t most);

private:
    friend class store;
    struct state;
    explicit ready_messages(std::unique_ptr<state> s);
    std::unique_ptr<state> state_;
};

// Where a message can stand.
enum class message_state { ready, busy, failed, held };

// What is known of a message, for those who look at it.
struct message_report {
    message_state state = message_state::ready;
    mail::envelope envelope;
    std::vector<std::string> extra; // lines behind the envelope: reasons
    std::uint64_t content_size = 0;
    std::string beginning; // of the content, some KiB
    std::string problem;   // why the envelope or the content cannot be read; mostly empty
};

class store {
public:
    // [blocks] Checks the directory, recovers what a crash left, starts the journal. `files`, `pool` and the
    // logger's sink outlive the store. Fails with "invalid spool directory: <path>: <reason>".
    static base::result<std::unique_ptr<store>> open(settings s, os::filesystem& files, os::worker_pool& pool,
                                                     base::logger log);
    ~store(); // as close()
    store(const store&) = delete;
    store& operator=(const store&) = delete;

    // ---- accepting
    new_message create();

    // Stores the message and calls `done` on a disk or journal thread: on success both files are there under
    // their final names and will survive a power cut. Its value is the id that they have, which is another
    // than before if that name was taken. On failure nothing of it is left. `done` must not block.
    using completion = std::function<void(base::result<std::string>)>;
    void commit(new_message message, const mail::envelope& envelope, completion done);

    // [blocks] Writes the files without making them durable, for filters.
    base::result<staged_message> stage(new_message message, const mail::envelope& envelope);

    // Stores what is in the files now, as durably as the other commit() does, and calls `done` as that does.
    // With `both` a file that is missing gives no_such_file_or_directory, an envelope that cannot be read
    // bad_message. With `none` whatever is left is kept: an envelope becomes visible, a content alone stays.
    // On failure nothing of it is left.
    enum class must_be_there { both, none };
    void commit(staged_message message, must_be_there which, completion done);

    // [blocks] For a message that becomes several: its content under another id, hard-linked if the file
    // system can, else copied, and an envelope of its own.
    std::string new_id();
    base::result<staged_message> stage_linked(const std::string& id, const std::string& content_name,
                                              std::string_view envelope_text);
    // [blocks] What commit() does, on this thread and for all of them; `last` is called when they are stored.
    // If anything fails, `last` too, nothing is left but what a forwarder has taken in the meantime.
    base::result<void> commit_at_once(std::vector<staged_message> messages,
                                      const std::function<base::result<void>()>& last);

    // Removes what was written, on a disk thread.
    void discard(new_message message);
    void discard(staged_message message);

    // The directory, for those who work on a message's files while they are theirs. Its functions block.
    folder& directory() const noexcept;
    // [blocks] Names in it that are neither hidden nor those of a message's files, in byte order: those of
    // sub-directories are among them.
    base::result<std::vector<std::string>> other_names();
    bool syncs() const noexcept; // false: --no-sync

    // ---- forwarding
    // [blocks] Also releases `.busy` files that a dead process of ours left.
    base::result<ready_messages> ready(look how = look::at_changes);
    base::result<std::vector<std::string>> failed(); // [blocks] `.bad`, in byte order of the file name

    // [blocks] Says that these will be claimed soon, durably and in one flush, so that claim() need not
    // flush.
    void announce(std::span<const std::string> ids);

    // [blocks] Locks, reads, opens. A message that is gone, locked by others or unreadable gives an error
    // after the spec's warning has been logged and the lock undone.
    base::result<claimed_message> claim(const std::string& id);

    base::result<void> finish(claimed_message message);  // [blocks] sent: envelope, then content deleted
    base::result<void> release(claimed_message message); // [blocks] back to `.envelope`
    // [blocks] The same, with claim()'s warning: it could not be read on.
    void ignore(claimed_message message, const base::error& why);
    base::result<void> fail(claimed_message message, std::string_view reason,
                            std::optional<int> code); // [blocks]
    // [blocks] Sent to some: To-Remote is reduced to `refused`, then failed.
    base::result<void> fail_partly(claimed_message message, const std::vector<std::string>& refused,
                                   std::string_view reason, std::optional<int> code);

    // ---- administration; ids come from users and may be anything
    // [blocks] As listed by name alone, in byte order of the file name: ready, failed or held.
    base::result<std::vector<std::string>> list(message_state which);
    base::result<message_report> look_at(const std::string& id); // [blocks]

    // [blocks] Each is one rename, so that a forwarder has the message or this has; it survives a power cut.
    // Errors say in which state the message is instead: "message is being forwarded", "no such message".
    base::result<void> hold(const std::string& id);   // ready -> held: stays until it is let go
    base::result<void> let_go(const std::string& id); // held -> ready
    base::result<void> unfail(const std::string& id); // failed -> ready
    base::result<std::size_t> unfail_all();           // [blocks] how many; what cannot be renamed stays

    // [blocks] Deletes the message, unless it is being forwarded: envelope, then content.
    base::result<void> remove(const std::string& id);

    // [blocks] Orderly end: flushes what is not yet flushed and removes the journal. No call may follow.
    void close();

private:
    friend class mailbox;
    friend std::vector<std::string> inaccessible_mailboxes(store& of);
    struct impl;
    explicit store(std::unique_ptr<impl> i);
    std::unique_ptr<impl> impl_;
};

} // namespace spool
