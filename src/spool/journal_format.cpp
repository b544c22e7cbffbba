#include "spool/journal_format.hpp"

#include <algorithm>
#include <array>
#include <cstring>

#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

namespace spool {

namespace {

constexpr std::uint32_t record_magic = 0x524a5245; // "ERJR"
constexpr std::size_t boot_size = 40;
constexpr std::size_t header_size = 8 + 5 * 8 + boot_size + 4; // well within one disk sector
constexpr std::size_t record_header_size = 56;

// Little-endian on every machine.
template <class Number>
void put_number(std::string& to, Number n) {
    for (std::size_t i = 0; i < sizeof n; ++i)
        to.push_back(static_cast<char>(static_cast<std::uint64_t>(n) >> (8 * i)));
}

template <class Number>
Number take_number(std::span<const char>& from) {
    std::uint64_t n = 0;
    for (std::size_t i = 0; i < sizeof(Number); ++i)
        n |= std::uint64_t{static_cast<unsigned char>(from[i])} << (8 * i);
    from = from.subspan(sizeof(Number));
    return static_cast<Number>(n);
}

std::size_t rounded_up(std::size_t n, std::size_t to) {
    return (n + to - 1) / to * to;
}

// Eight tables: one look-up for each of eight octets at a time.
using crc_tables = std::array<std::array<std::uint32_t, 256>, 8>;

constexpr crc_tables make_crc_tables() {
    crc_tables tables{};
    for (std::uint32_t i = 0; i < 256; ++i) {
        std::uint32_t crc = i;
        for (int bit = 0; bit < 8; ++bit)
            crc = crc & 1 ? (crc >> 1) ^ 0x82f63b78u : crc >> 1;
        tables[0][i] = crc;
    }
    for (std::size_t t = 1; t < 8; ++t)
        for (std::size_t i = 0; i < 256; ++i)
            tables[t][i] = (tables[t - 1][i] >> 8) ^ tables[0][tables[t - 1][i] & 0xff];
    return tables;
}

constexpr crc_tables tables = make_crc_tables();

std::uint32_t crc_by_table(std::uint32_t crc, std::span<const char> bytes) noexcept {
    while (bytes.size() >= 8) {
        auto word = take_number<std::uint64_t>(bytes) ^ crc;
        crc = 0;
        for (std::size_t i = 0; i < 8; ++i)
            crc ^= tables[7 - i][(word >> (8 * i)) & 0xff];
    }
    for (char c : bytes)
        crc = (crc >> 8) ^ tables[0][(crc ^ static_cast<unsigned char>(c)) & 0xff];
    return crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) std::uint32_t crc_by_instruction(std::uint32_t crc,
                                                                   std::span<const char> bytes) noexcept {
    std::uint64_t wide = crc;
    while (bytes.size() >= 8) {
        std::uint64_t word;
        std::memcpy(&word, bytes.data(), 8);
        wide = _mm_crc32_u64(wide, word);
        bytes = bytes.subspan(8);
    }
    crc = static_cast<std::uint32_t>(wide);
    for (char c : bytes)
        crc = _mm_crc32_u8(crc, static_cast<unsigned char>(c));
    return crc;
}
#endif

} // namespace

std::uint32_t crc32c(std::uint32_t crc, std::span<const char> bytes) noexcept {
#if defined(__x86_64__)
    static const bool has_instruction = __builtin_cpu_supports("sse4.2");
    if (has_instruction)
        return ~crc_by_instruction(~crc, bytes);
#endif
    return crc32c_by_table(crc, bytes);
}

std::uint32_t crc32c_by_table(std::uint32_t crc, std::span<const char> bytes) noexcept {
    return ~crc_by_table(~crc, bytes);
}

std::string format_header(const segment_header& header) {
    std::string out(journal_magic);
    for (std::uint64_t n : {header.owner, header.key, header.pid, header.device, header.inode})
        put_number(out, n);
    std::string boot = header.boot.substr(0, boot_size);
    boot.resize(boot_size);
    out += boot;
    put_number(out, crc32c(0, out));
    pad_to_block(out);
    return out;
}

std::optional<segment_header> parse_header(std::span<const char> block) {
    if (block.size() < header_size || std::string_view(block.data(), journal_magic.size()) != journal_magic)
        return std::nullopt;
    auto check = block.subspan(header_size - 4);
    if (take_number<std::uint32_t>(check) != crc32c(0, block.first(header_size - 4)))
        return std::nullopt;
    segment_header h;
    auto rest = block.subspan(journal_magic.size());
    for (std::uint64_t* n : {&h.owner, &h.key, &h.pid, &h.device, &h.inode})
        *n = take_number<std::uint64_t>(rest);
    h.boot.assign(rest.data(), boot_size);
    h.boot.erase(std::find(h.boot.begin(), h.boot.end(), '\0'), h.boot.end());
    return h;
}

std::size_t size_of(const record& r) noexcept {
    return rounded_up(record_header_size + r.id.size() + r.envelope.size() + r.content.size(), 8);
}

void append_record(std::string& to, const record& r, std::uint64_t key) {
    std::size_t start = to.size();
    put_number(to, record_magic);
    put_number(to, std::uint32_t{0}); // the checksum's place
    put_number(to, key);
    put_number(to, r.sequence);
    put_number(to, r.time);
    put_number(to, r.number);
    put_number(to, static_cast<std::uint32_t>(r.kind));
    put_number(to, static_cast<std::uint32_t>(r.id.size()));
    put_number(to, static_cast<std::uint32_t>(r.envelope.size()));
    put_number(to, static_cast<std::uint32_t>(r.content.size()));
    to.append(r.id).append(r.envelope).append(r.content);
    std::uint32_t crc = crc32c(0, std::span<const char>(to).subspan(start + 8));
    for (std::size_t i = 0; i < 4; ++i)
        to[start + 4 + i] = static_cast<char>(crc >> (8 * i));
    to.resize(rounded_up(to.size() - start, 8) + start);
}

void pad_to_block(std::string& to) {
    to.resize(rounded_up(to.size(), journal_block));
}

std::optional<record> parse_record(std::span<const char> bytes, std::uint64_t key) {
    if (bytes.size() < record_header_size)
        return std::nullopt;
    auto rest = bytes;
    auto magic = take_number<std::uint32_t>(rest);
    auto crc = take_number<std::uint32_t>(rest);
    if (magic != record_magic || take_number<std::uint64_t>(rest) != key)
        return std::nullopt;
    record r;
    r.sequence = take_number<std::uint64_t>(rest);
    r.time = take_number<std::int64_t>(rest);
    r.number = take_number<std::uint64_t>(rest);
    r.kind = static_cast<record_kind>(take_number<std::uint32_t>(rest));
    std::array<std::string_view*, 3> parts{&r.id, &r.envelope, &r.content};
    std::array<std::size_t, 3> sizes{};
    for (std::size_t& size : sizes)
        size = take_number<std::uint32_t>(rest);
    if (sizes[0] + sizes[1] + sizes[2] > rest.size())
        return std::nullopt;
    std::size_t payload = sizes[0] + sizes[1] + sizes[2];
    if (crc32c(0, bytes.subspan(8, record_header_size - 8 + payload)) != crc)
        return std::nullopt;
    for (std::size_t i = 0; i < parts.size(); ++i) {
        *parts[i] = std::string_view(rest.data(), sizes[i]);
        rest = rest.subspan(sizes[i]);
    }
    return r;
}

void read_records(std::span<const char> segment, std::uint64_t key,
                  const std::function<void(const record&, std::size_t)>& each) {
    std::size_t at = journal_block;
    while (at < segment.size()) {
        if (auto r = parse_record(segment.subspan(at), key)) {
            each(*r, at);
            at += size_of(*r);
        } else {
            at = rounded_up(at + 1, journal_block);
        }
    }
}

} // namespace spool
