#include "net/address.hpp"

#include <gtest/gtest.h>

using net::endpoint;

TEST(address, display) {
    EXPECT_EQ((endpoint{"192.0.2.1", 25, false, false}).display(), "192.0.2.1:25");
    EXPECT_EQ((endpoint{"2001:db8::1", 47691, false, true}).display(), "2001:db8::1.47691");
    EXPECT_EQ((endpoint{"/run/x.sock", 0, true, false}).display(), "/run/x.sock");
}

TEST(address, local_ranges_are_exactly_these) {
    for (const char* inside : {"127.0.0.1", "127.255.255.255", "169.254.0.1", "10.0.0.0", "10.255.255.255",
                               "172.16.0.1", "172.31.255.255", "192.168.0.1", "192.168.255.255"})
        EXPECT_TRUE(net::is_local({inside, 1, false, false})) << inside;
    for (const char* outside : {"126.255.255.255", "128.0.0.0", "169.253.0.1", "169.255.0.0", "9.255.255.255",
                                "11.0.0.0", "172.15.255.255", "172.32.0.0", "192.167.0.1", "192.169.0.0",
                                "100.64.0.1", "198.51.100.1", "0.0.0.0"})
        EXPECT_FALSE(net::is_local({outside, 1, false, false})) << outside;
    for (const char* inside : {"::1", "fe80::1", "fc00::1", "fdff::1"})
        EXPECT_TRUE(net::is_local({inside, 1, false, true})) << inside;
    for (const char* outside : {"::2", "fe80:0:0:1::1", "fec0::1", "fe00::1", "2001:db8::1", "::"})
        EXPECT_FALSE(net::is_local({outside, 1, false, true})) << outside;
    EXPECT_TRUE(net::is_local({"/", 0, true, false}));
}
