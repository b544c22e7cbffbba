// The commit journal: makes accepted messages durable many at a time (design.md section 4).
//
// One thread writes what has gathered as one batch and flushes it once; what arrives meanwhile is the next
// batch. Two more keep the segments: one makes and frees them, one flushes the files of messages that are
// still there after a while (checkpoint), so that their records are needed no longer.
//
// A segment is used again only when everything in it is settled; a record that may still be needed is never
// overwritten. A write or flush that fails makes those fail who waited for it, and its segment is not used
// again. Where there is no room for a journal, records are declined: the caller then flushes files itself.
#pragma once

#include "base/log.hpp"
#include "base/result.hpp"
#include "spool/folder.hpp"
#include "spool/journal_format.hpp"

#include <chrono>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace spool {

// Who waits for a record. Called on the journal's thread, which must not be held up: first written(), then
// flushed(); or declined() alone. By default nothing happens.
class journal_client {
public:
    virtual ~journal_client() = default;
    virtual void written() {}                          // it survives the end of the process
    virtual void flushed(const base::result<void>&) {} // it survives a power cut, or an error
    virtual void declined() {}                         // there is no room: nothing was written
};

struct journal_settings {
    bool sync = true;
    std::uint64_t segment = 4 << 20;
    std::uint64_t total = 128 << 20;
    std::chrono::milliseconds checkpoint{1000};
};

// How soon a record has to be on its way.
enum class urgency {
    riding,  // with the next batch, or within half a second
    written, // at once, without a flush
    implied, // the same, and as good as flushed when written: recovery does without it
    flushed, // at once, with a flush
};

class journal {
public:
    journal(folder& where, journal_settings s, base::logger log);
    ~journal(); // as close()

    // The views stay valid until the client has heard flushed() or declined().
    void put(const std::string& id, std::string_view envelope, std::string_view content,
             std::shared_ptr<journal_client> client);
    // The files of a message that was put are there: the checkpoint may flush them.
    void stored(const std::string& id);

    // `number` as in the record.
    void append(record_kind kind, const std::string& id, urgency how, std::uint64_t number = 0);
    // [blocks] True when written (or flushed), false when declined.
    base::result<bool> append_and_wait(record_kind kind, const std::string& id, urgency how,
                                       std::uint64_t number = 0);
    // [blocks] The same for claims of many messages, numbered from `first_number` on. The claim of a message
    // that is not settled is not flushed for its own sake: recovery takes it to be claimed by this process
    // anyway, and it is flushed before the message is settled.
    base::result<bool> claim(std::span<const std::string> ids, std::uint64_t first_number);

    // [blocks] The files of the message, wherever they stand, have been flushed: from here on it is what they
    // say, and its record is not needed. Nothing happens when declined.
    base::result<void> forget(const std::string& id);

    // [blocks] True if the segment is one of this journal.
    bool owns(std::string_view segment_name) const;

    // [blocks] Flushes all files and removes the segments; those stay if that fails or if a claim is open.
    void close();

private:
    struct impl;
    std::unique_ptr<impl> impl_;
};

} // namespace spool
