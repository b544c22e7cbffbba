#include "base/ip_address.hpp"

#include <gtest/gtest.h>

namespace {

using base::parse_ip_address;

TEST(ip_address, accepted) {
    const auto v4 = parse_ip_address("192.0.2.255");
    ASSERT_TRUE(v4);
    EXPECT_FALSE(v4->v6);
    EXPECT_EQ(v4->octets[0], 192);
    EXPECT_EQ(v4->octets[3], 255);

    const auto v6 = parse_ip_address("2001:DB8::a:1");
    ASSERT_TRUE(v6);
    EXPECT_TRUE(v6->v6);
    EXPECT_EQ(v6, parse_ip_address("2001:db8:0:0:0:0:a:1"));
    EXPECT_EQ(v6, parse_ip_address("2001:db8::0.10.0.1"));
    EXPECT_TRUE(parse_ip_address("::"));
    EXPECT_TRUE(parse_ip_address("::1"));
    EXPECT_TRUE(parse_ip_address("1::"));
    EXPECT_TRUE(parse_ip_address("1:2:3:4:5:6:7:8"));
    EXPECT_TRUE(parse_ip_address("1:2:3:4:5:6:192.0.2.1"));
    EXPECT_TRUE(parse_ip_address("::ffff:192.0.2.1"));
}

TEST(ip_address, refused) {
    for (const char* text : {"",
                             "1",
                             "1.2.3",
                             "1.2.3.4.5",
                             "1.2.3.256",
                             "01.2.3.4",
                             "1.2.3.",
                             ".1.2.3",
                             "1.2.3.x",
                             "1.2.3.4 ",
                             ":",
                             ":::",
                             "1:2:3:4:5:6:7",
                             "1:2:3:4:5:6:7:8:9",
                             "1::2::3",
                             "12345::",
                             "g::",
                             "::1%lo",
                             "[::1]",
                             "1:2:3:4:5:6:7::8",
                             "1:",
                             ":1",
                             "::1.2.3",
                             "1.2.3.4:5",
                             "::1.2.3.4:5",
                             "-1::",
                             "0x1::"})
        EXPECT_FALSE(parse_ip_address(text)) << text;
}

TEST(ip_address, networks) {
    const auto a = *parse_ip_address("127.3.9.1"), net = *parse_ip_address("127.3.0.0");
    EXPECT_TRUE(same_network(a, net, 20));
    EXPECT_FALSE(same_network(a, net, 21));
    EXPECT_TRUE(same_network(a, net, 0));
    EXPECT_TRUE(same_network(a, a, 32));
    EXPECT_FALSE(same_network(a, net, 33));
    EXPECT_FALSE(same_network(*parse_ip_address("::"), *parse_ip_address("0.0.0.0"), 0));
    EXPECT_TRUE(same_network(*parse_ip_address("fe80::1"), *parse_ip_address("fe80::"), 127));
    EXPECT_FALSE(same_network(*parse_ip_address("fe80::1"), *parse_ip_address("fe80::"), 128));

    EXPECT_TRUE(is_network(net, 16));
    EXPECT_TRUE(is_network(net, 32));
    EXPECT_FALSE(is_network(net, 15));
    EXPECT_FALSE(is_network(*parse_ip_address("127.0.0.1"), 8));
    EXPECT_TRUE(is_network(*parse_ip_address("fe80::"), 10));
    EXPECT_TRUE(is_network(*parse_ip_address("::"), 0));
    EXPECT_FALSE(is_network(*parse_ip_address("::1"), 64));
}

} // namespace
