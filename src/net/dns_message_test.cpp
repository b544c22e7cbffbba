#include "net/dns_message.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <string_view>

namespace net {
namespace {

base::result<dns_answer> read(std::string_view packet) {
    return read_dns_answer({reinterpret_cast<const unsigned char*>(packet.data()), packet.size()});
}

// Octets with zeros in them.
template <std::size_t N>
std::string octets(const char (&literal)[N]) {
    return {literal, N - 1};
}

const std::string header = octets("\x12\x34\x85\x80\0\1\0\2\0\0\0\0");
const std::string question = octets("\7Example\3Net\0\0\17\0\1");
const std::string first_mx = octets("\xc0\x0c\0\17\0\1\0\0\0\x3c\0\x09\0\x0a\4mail\xc0\x0c");
const std::string address = octets("\4mail\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\xc0\0\2\1");

TEST(dns_message, records_and_compressed_names) {
    auto answer = read(header + question + first_mx + address);
    ASSERT_TRUE(answer.has_value());
    EXPECT_EQ(answer->id, 0x1234);
    EXPECT_EQ(answer->rcode, 0U);
    EXPECT_TRUE(answer->authoritative);
    ASSERT_EQ(answer->records.size(), 2U);
    EXPECT_EQ(answer->records[0].type, dns_type::mx);
    EXPECT_EQ(answer->records[0].owner, "example.net");
    EXPECT_EQ(answer->records[0].data, "mail.example.net");
    EXPECT_EQ(answer->records[0].preference, 10);
    EXPECT_EQ(answer->records[1].type, dns_type::a);
    EXPECT_EQ(answer->records[1].owner, "mail.example.net");
    EXPECT_EQ(answer->records[1].data, "192.0.2.1");
}

TEST(dns_message, the_root_as_exchanger) {
    auto answer = read(header + question + octets("\xc0\x0c\0\17\0\1\0\0\0\x3c\0\3\0\0\0") + address);
    ASSERT_TRUE(answer.has_value());
    EXPECT_EQ(answer->records[0].data, "");
    EXPECT_EQ(answer->records[0].preference, 0);
}

TEST(dns_message, ipv6_and_aliases) {
    auto answer = read(header + question + octets("\xc0\x0c\0\5\0\1\0\0\0\x3c\0\4\1b\xc0\x0c") +
                       octets("\1b\xc0\x0c\0\x1c\0\1\0\0\0\x3c\0\x10\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1"));
    ASSERT_TRUE(answer.has_value());
    EXPECT_EQ(answer->records[0].type, dns_type::cname);
    EXPECT_EQ(answer->records[0].data, "b.example.net");
    EXPECT_EQ(answer->records[1].data, "2001:db8::1");
}

TEST(dns_message, other_records_are_passed_over) {
    auto answer = read(header + question + octets("\xc0\x0c\0\x10\0\1\0\0\0\x3c\0\3\2hi") + first_mx);
    ASSERT_TRUE(answer.has_value());
    EXPECT_EQ(answer->records.size(), 1U);
}

TEST(dns_message, a_record_of_the_wrong_size_is_none) {
    auto answer = read(header + question + octets("\xc0\x0c\0\1\0\1\0\0\0\x3c\0\3\xc0\0\2") + first_mx);
    ASSERT_TRUE(answer.has_value());
    ASSERT_EQ(answer->records.size(), 1U);
    EXPECT_EQ(answer->records[0].type, dns_type::mx);
}

TEST(dns_message, cut_off_anywhere) {
    std::string whole = header + question + first_mx + address;
    for (std::size_t n = 0; n < whole.size(); ++n)
        EXPECT_TRUE(read(whole.substr(0, n)).has_error()) << n;
}

TEST(dns_message, names_that_go_in_circles) {
    EXPECT_TRUE(read(header + octets("\xc0\x0c\0\1\0\1") + first_mx + address).has_error());
}

// `count` labels of 63 octets and one of `last`: 64 * count + last + 2 octets (the name ends with an empty
// label).
std::string long_name(int count, char last) {
    std::string out;
    for (int n = 0; n < count; ++n)
        out += '\x3f' + std::string(63, 'n');
    return out + last + std::string(static_cast<std::size_t>(last), '\1') + '\0';
}

TEST(dns_message, names_have_255_octets_at_most) {
    const std::string rest = octets("\0\1\0\1\0\0\0\x3c\0\4\xc0\0\2\1");
    auto answer = read(header + question + long_name(3, 61) + rest + address);
    ASSERT_TRUE(answer.has_value());
    EXPECT_EQ(answer->records.size(), 2U);
    EXPECT_TRUE(read(header + question + long_name(3, 62) + rest + address).has_error());
    EXPECT_TRUE(read(header + question + long_name(40, 10) + rest + address).has_error());
}

TEST(dns_message, compression_does_not_make_names_longer) {
    // The question's name has 13 octets, the record's 64 * 3 + 51 before it goes on as that one.
    const std::string rest = octets("\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\xc0\0\2\1");
    auto start = [](char last) {
        return long_name(3, last).substr(0, 192U + 1 + static_cast<std::size_t>(last));
    };
    EXPECT_TRUE(read(header + question + start(49) + rest + address).has_value());
    EXPECT_TRUE(read(header + question + start(50) + rest + address).has_error());
}

TEST(dns_message, octets_of_a_name_count_once_though_they_are_written_with_a_backslash) {
    const std::string rest = octets("\0\1\0\1\0\0\0\x3c\0\4\xc0\0\2\1");
    std::string name = long_name(3, 61);
    for (char c : {'.', '\\', '\xff'}) {
        std::fill_n(name.begin() + 1, 63, c);
        EXPECT_TRUE(read(header + question + name + rest + address).has_value());
        EXPECT_TRUE(read(header + question + '\1' + c + name + rest + address).has_error());
    }
}

TEST(dns_message, a_question_is_no_answer) {
    EXPECT_TRUE(read(octets("\x12\x34\1\0\0\1\0\0\0\0\0\0") + question).has_error());
}

TEST(dns_message, codes) {
    auto answer = read(octets("\0\12\x80\x83\0\0\0\0\0\0\0\0"));
    ASSERT_TRUE(answer.has_value());
    EXPECT_EQ(answer->rcode, 3U);
    EXPECT_FALSE(answer->authoritative);
    EXPECT_EQ(answer->id, 10);
}

} // namespace
} // namespace net
