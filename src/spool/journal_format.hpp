// What stands in a journal segment: a header, then batches of records. Pure: octets in, octets out.
//
// A segment is written from its beginning and used again and again; each use has a key of its own, which
// every record carries, so that records of an earlier use are never taken for new ones. A batch begins at a
// multiple of 4 KiB. Each record has a checksum over all of itself; a torn or damaged one ends its batch, not
// the segment.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace spool {

inline constexpr std::size_t journal_block = 4096;
inline constexpr std::string_view journal_magic = "ERJOURN1"; // the first octets of a segment in use

enum class record_kind : std::uint32_t {
    put = 1,   // a message: envelope and content
    begin,     // the content file of a message is about to be made; its commit comes later or never
    end,       // closes begin: the message is stored, or its file removed
    withdrawn, // closes put: the message was not accepted after all, its files are removed
    claim,     // the envelope is about to be renamed to `.busy`
    released,  // closes claim: the envelope is no longer `.busy`
    done,      // closes claim: the files have been deleted
    settled,   // what the records up to `number` say has been done to files is flushed
    filed,     // the files of this message are flushed, wherever they stand: no record of it is needed
};

struct segment_header {
    std::uint64_t owner = 0; // random, one per journal
    std::uint64_t key = 0;   // random, one per use
    std::uint64_t pid = 0;
    std::uint64_t device = 0; // of this file: a copy of it is known as such
    std::uint64_t inode = 0;
    std::string boot; // at most 40 octets

    bool operator==(const segment_header&) const = default;
};

struct record {
    record_kind kind = record_kind::put;
    std::uint64_t sequence = 0; // one row of numbers for all segments of an owner
    std::int64_t time = 0;      // nanoseconds since 1970
    std::uint64_t number = 0;   // claim, released and done: which claim; settled: through which sequence
    std::string_view id;
    std::string_view envelope;
    std::string_view content;
};

// CRC-32C (Castagnoli), continued from `crc`.
std::uint32_t crc32c(std::uint32_t crc, std::span<const char> bytes) noexcept;
std::uint32_t crc32c_by_table(std::uint32_t crc,
                              std::span<const char> bytes) noexcept; // without the instruction

// One block.
std::string format_header(const segment_header& header);
std::optional<segment_header> parse_header(std::span<const char> block);

std::size_t size_of(const record& r) noexcept;
void append_record(std::string& to, const record& r, std::uint64_t key);
void pad_to_block(std::string& to);

// Calls `each` for every whole record of the use `key`; `offset` is the record's place. Views point into
// `segment`.
void read_records(std::span<const char> segment, std::uint64_t key,
                  const std::function<void(const record&, std::size_t offset)>& each);
std::optional<record> parse_record(std::span<const char> bytes, std::uint64_t key);

} // namespace spool
