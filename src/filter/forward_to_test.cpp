#include "filter/forward_to.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace filter {
namespace {

std::string shown(std::string_view text) {
    auto to = read_forward_to(text);
    return !to                   ? "bad"
           : to->literal.empty() ? to->domain + " " + to->port
                                 : address_and_port(to->literal, to->port);
}

TEST(forward_to, forms) {
    EXPECT_EQ(shown("example.com"), "example.com 25");
    EXPECT_EQ(shown("example.com."), "example.com 25");
    EXPECT_EQ(shown("example.com:2525"), "example.com 2525");
    EXPECT_EQ(shown("user@example.com"), "example.com 25");
    EXPECT_EQ(shown("\"a@b\"@example.com:26"), "example.com 26");
    EXPECT_EQ(shown("[192.0.2.1]"), "192.0.2.1:25");
    EXPECT_EQ(shown("u@[192.0.2.1]:26"), "192.0.2.1:26");
    EXPECT_EQ(shown("[IPv6:2001:db8::1]"), "2001:db8::1.25");
    EXPECT_EQ(shown("[ipv6:2001:db8::1]:26"), "2001:db8::1.26");
    EXPECT_EQ(shown("192.0.2.1"), "192.0.2.1 25") << "looked up as a name";
    EXPECT_EQ(shown("b\xc3\xbc"
                    "cher.example"),
              "xn--bcher-kva.example 25");
}

TEST(forward_to, bad_ones) {
    for (const char* text : {"", "@", "u@", ".", "[", "[]", "[1.2.3]", "[192.0.2.1", "[192.0.2.1]x",
                             "[192.0.2.1]:", "[192.0.2.1]:0", "[192.0.2.1]:65536", "[2001:db8::1]",
                             "[IPv6:192.0.2.1]", "[a.example]"})
        EXPECT_EQ(shown(text), "bad") << text;
}

TEST(forward_to, what_can_be_no_domain) {
    const std::string most(63, 'a');
    EXPECT_EQ(shown(most + ".example"), most + ".example 25");
    EXPECT_EQ(shown("a" + most + ".example"), "bad");
    const std::string long_name = most + "." + most + "." + most + "." + std::string(61, 'b');
    EXPECT_EQ(shown(long_name), long_name + " 25");
    EXPECT_EQ(shown(long_name + "b"), "bad");
    for (const char* text : {"a..example", ".example", "example..", "a\\.example", "a\\"})
        EXPECT_EQ(shown(text), "bad") << text;
}

TEST(mx_parameters, all) {
    std::vector<std::string> ignored;
    auto found = read_mx_parameters("127.0.0.1;127.0.0.2:54;::1;nst=2;rt=3;x;nst=y;;example.com:53", ignored);
    ASSERT_EQ(found.servers.size(), 3U);
    EXPECT_EQ(found.servers[0].display(), "127.0.0.1:53");
    EXPECT_EQ(found.servers[1].display(), "127.0.0.2:54");
    EXPECT_EQ(found.servers[2].display(), "::1.53");
    EXPECT_EQ(found.next, std::chrono::seconds(2));
    EXPECT_EQ(found.again, std::chrono::seconds(3));
    EXPECT_THAT(ignored, testing::ElementsAre("x", "nst=y", "example.com:53"));
    EXPECT_TRUE(read_mx_parameters("", ignored).servers.empty());
    EXPECT_EQ(read_mx_parameters("", ignored).again, std::chrono::seconds(15));
}

} // namespace
} // namespace filter
