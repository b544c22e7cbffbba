// A segment of the journal: records as they are written, and then as a damaged disk gives them back.
//
// Input: two octets, then records, each an octet for its kind and the sizes of its parts, then as many
// octets; behind the octet 0xff places that are damaged.
//
// Oracles: what was written is read as it was; of a damaged segment nothing is read that was not written, and
// what stands in whole batches still is; octets of any kind do no harm.
#include "spool/journal_format.hpp"
#include "support.hpp"

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace {

constexpr std::uint64_t key = 0x1122334455667788;

struct owned_record {
    spool::record_kind kind;
    std::uint64_t sequence;
    std::string id, envelope, content;
    bool operator==(const owned_record&) const = default;
};

std::vector<owned_record> read(const std::string& segment) {
    std::vector<owned_record> found;
    spool::read_records(segment, key, [&](const spool::record& r, std::size_t at) {
        require(at >= spool::journal_block && at + spool::size_of(r) <= segment.size() + 7, "out of place");
        found.push_back(
            {r.kind, r.sequence, std::string(r.id), std::string(r.envelope), std::string(r.content)});
    });
    return found;
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size < 2)
        return 0;
    std::string_view rest(reinterpret_cast<const char*>(data) + 2, size - 2);
    const auto take = [&rest](std::size_t n) {
        const std::string_view part = rest.substr(0, n);
        rest.remove_prefix(part.size());
        return std::string(part);
    };
    (void)spool::parse_record(rest, key);
    (void)spool::parse_header(rest);

    spool::segment_header header{1, key, 2, 3, 4, "boot"};
    std::string segment = spool::format_header(header);
    require(spool::parse_header(segment) == header, "header");
    std::vector<owned_record> written;
    std::vector<std::size_t> batch_of; // of each record, where its batch begins
    std::size_t batch = segment.size();
    while (!rest.empty() && static_cast<unsigned char>(rest.front()) != 0xff) {
        const auto head = static_cast<unsigned char>(take(1)[0]);
        owned_record r{static_cast<spool::record_kind>(head % 10), written.size(), take(head % 7),
                       take(head % 11), take(head % 64)};
        spool::append_record(segment, {r.kind, r.sequence, 5, 6, r.id, r.envelope, r.content}, key);
        written.push_back(std::move(r));
        batch_of.push_back(batch);
        if (head >= 0x80) {
            spool::pad_to_block(segment);
            batch = segment.size();
        }
    }
    spool::pad_to_block(segment);
    require(read(segment) == written, "not as it was written");

    // Damage, and the batches that it falls into.
    take(1);
    std::vector<bool> hurt(segment.size() / spool::journal_block + 1);
    while (rest.size() >= 3) {
        const std::string place = take(3);
        const std::size_t at =
            (static_cast<unsigned char>(place[0]) * 256U + static_cast<unsigned char>(place[1])) %
            segment.size();
        segment[at] = static_cast<char>(segment[at] ^ place[2]);
        hurt[at / spool::journal_block] = true;
    }
    const std::vector<owned_record> found = read(segment);
    for (const owned_record& r : found)
        require(std::ranges::find(written, r) != written.end(), "read what was never written");
    for (std::size_t i = 0; i < written.size(); ++i) {
        const auto next = std::ranges::upper_bound(batch_of, batch_of[i]);
        const std::size_t end = next == batch_of.end() ? segment.size() : *next;
        bool whole = true;
        for (std::size_t block = batch_of[i] / spool::journal_block; block * spool::journal_block < end;
             ++block)
            whole = whole && !hurt[block];
        require(!whole || std::ranges::find(found, written[i]) != found.end(), "lost without damage");
    }
    return 0;
}
