#include "spool/journal_format.hpp"

#include <gtest/gtest.h>

#include <vector>

namespace spool {

namespace {

constexpr std::uint64_t key = 0x0123456789abcdef;

std::string segment_with(const std::vector<record>& records, std::size_t batch_size = 2) {
    std::string out = format_header({1, key, 2, 3, 4, "boot"});
    for (std::size_t i = 0; i < records.size(); ++i) {
        append_record(out, records[i], key);
        if ((i + 1) % batch_size == 0)
            pad_to_block(out);
    }
    pad_to_block(out);
    return out;
}

std::vector<std::uint64_t> sequences_in(std::string_view segment, std::uint64_t k = key) {
    std::vector<std::uint64_t> out;
    read_records(segment, k, [&](const record& r, std::size_t) { out.push_back(r.sequence); });
    return out;
}

std::vector<record> four_records() {
    return {{record_kind::put, 1, 10, 0, "a", "envelope", "content"},
            {record_kind::claim, 2, 11, 0, "b", "", ""},
            {record_kind::put, 3, 12, 0, "c", "e", std::string_view("\0\r\n\xff", 4)},
            {record_kind::settled, 4, 13, 3, "", "", ""}};
}

} // namespace

TEST(journal_format, knows_the_checksum) {
    EXPECT_EQ(crc32c(0, std::string_view("123456789")), 0xe3069283u); // the check value of CRC-32C
    EXPECT_EQ(crc32c(0, std::string(32, '\0')), 0x8a9136aau);         // RFC 3720 section B.4
    EXPECT_EQ(crc32c(crc32c(0, std::string_view("12345678901")), std::string_view("2345")),
              crc32c(0, std::string_view("123456789012345")));
    for (std::size_t size = 0; size < 100; ++size)
        EXPECT_EQ(crc32c_by_table(7, std::string(size, 'x')), crc32c(7, std::string(size, 'x')));
}

TEST(journal_format, keeps_the_header) {
    segment_header h{0xfedcba9876543210, 2, 3, 4, 5, "01234567-89ab-cdef-0123-456789abcdef"};
    std::string block = format_header(h);
    EXPECT_EQ(block.size(), journal_block);
    EXPECT_EQ(parse_header(block), h);
    for (std::size_t i = 0; i < 90; ++i) {
        std::string damaged = block;
        damaged[i] = static_cast<char>(damaged[i] ^ 1);
        EXPECT_FALSE(parse_header(damaged)) << i;
    }
    EXPECT_FALSE(parse_header(std::string(journal_block, '\0')));
    EXPECT_FALSE(parse_header(std::string_view("ERJOURN1")));
}

TEST(journal_format, keeps_records) {
    auto records = four_records();
    std::string segment = segment_with(records);
    EXPECT_EQ(segment.size(), 3 * journal_block);
    std::size_t i = 0;
    read_records(segment, key, [&](const record& r, std::size_t offset) {
        EXPECT_EQ(r.kind, records[i].kind);
        EXPECT_EQ(r.sequence, records[i].sequence);
        EXPECT_EQ(r.time, records[i].time);
        EXPECT_EQ(r.number, records[i].number);
        EXPECT_EQ(r.id, records[i].id);
        EXPECT_EQ(r.envelope, records[i].envelope);
        EXPECT_EQ(r.content, records[i].content);
        EXPECT_EQ(parse_record(std::span<const char>(segment).subspan(offset), key)->id, r.id);
        ++i;
    });
    EXPECT_EQ(i, records.size());
}

TEST(journal_format, passes_over_records_of_an_earlier_use) {
    EXPECT_TRUE(sequences_in(segment_with(four_records()), key + 1).empty());
}

TEST(journal_format, a_torn_record_ends_its_batch) {
    std::string segment = segment_with(four_records());
    std::string torn = segment;
    torn[journal_block + 70] = static_cast<char>(torn[journal_block + 70] ^ 1);
    EXPECT_EQ(sequences_in(torn), (std::vector<std::uint64_t>{3, 4}));
    for (std::size_t cut = 0; cut <= segment.size(); ++cut) { // a segment cut anywhere is never read beyond
        auto found = sequences_in(std::string(segment, 0, cut));
        for (std::size_t i = 0; i < found.size(); ++i)
            EXPECT_EQ(found[i], i + 1);
    }
}

TEST(journal_format, finds_every_flipped_bit) {
    std::string one = segment_with({four_records()[0]});
    std::size_t size = size_of(four_records()[0]);
    std::size_t used = 56 + 1 + 8 + 7;
    ASSERT_EQ(size, 72u);
    for (std::size_t i = 0; i < used; ++i) {
        std::string damaged = one;
        damaged[journal_block + i] = static_cast<char>(damaged[journal_block + i] ^ 0x10);
        EXPECT_TRUE(sequences_in(damaged).empty()) << i;
    }
}

TEST(journal_format, is_not_misled_by_lengths) {
    std::string segment = segment_with({four_records()[0]});
    for (std::size_t i = 44; i < 56; ++i) {
        std::string damaged = segment;
        damaged[journal_block + i] = static_cast<char>(0xff);
        EXPECT_TRUE(sequences_in(damaged).empty());
    }
}

} // namespace spool
