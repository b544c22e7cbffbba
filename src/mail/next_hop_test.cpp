#include "mail/next_hop.hpp"

#include <gtest/gtest.h>

namespace {

using mail::next_hop;

next_hop tcp(std::string host, std::string service, std::string socks_host = {},
             std::string socks_service = {}) {
    return {next_hop::kind::tcp,   std::move(host),         std::move(service), {},
            std::move(socks_host), std::move(socks_service)};
}

struct good_form {
    const char* text;
    next_hop hop;
};

TEST(next_hop_forms, are_understood) {
    const good_form forms[] = {
        {"smtp.example:25", tcp("smtp.example", "25")},
        {"localhost:smtp", tcp("localhost", "smtp")},
        {"mail:submission-2", tcp("mail", "submission-2")},
        {"mail:65535", tcp("mail", "65535")},
        {"mail.example.:25", tcp("mail.example.", "25")},
        {"my_relay:25", tcp("my_relay", "25")},
        {"bücher.example:25", tcp("xn--bcher-kva.example", "25")},
        {"1.2.3.4:25", tcp("1.2.3.4", "25")},
        {"[::1]:25", tcp("::1", "25")},
        {"[2001:db8::1]:smtp", tcp("2001:db8::1", "smtp")},
        {"[::]:25", tcp("::", "25")},
        {"::1:25", tcp("::1", "25")},
        {"::1.25", tcp("::1", "25")},
        {":::25", tcp("::", "25")},
        {"::.25", tcp("::", "25")},
        {"2001:db8::2:25", tcp("2001:db8::2", "25")},
        {"2001:db8::2:smtp", tcp("2001:db8::2", "smtp")},
        {"1:2:3:4:5:6:7:8:25", tcp("1:2:3:4:5:6:7:8", "25")},
        {"1:2:3:4:5:6:7:8.25", tcp("1:2:3:4:5:6:7:8", "25")},
        {"::ffff:1.2.3.4:25", tcp("::ffff:1.2.3.4", "25")},
        {"::ffff:1.2.3.4.25", tcp("::ffff:1.2.3.4", "25")},
        {"[::ffff:1.2.3.4]:25", tcp("::ffff:1.2.3.4", "25")},
        {"FE80::ABCD%eth0:25", tcp("FE80::ABCD%eth0", "25")},
        {"[fe80::1%eth0.100]:25", tcp("fe80::1%eth0.100", "25")},
        {"far.example:25@proxy.example:1080", tcp("far.example", "25", "proxy.example", "1080")},
        {"far.example:25@proxy.example:socks", tcp("far.example", "25", "proxy.example", "socks")},
        {"far.example:25@[::1]:1080", tcp("far.example", "25", "::1", "1080")},
        {"1.2.3.4:587@::1:1080", tcp("1.2.3.4", "587", "::1", "1080")},
    };
    for (const auto& [text, hop] : forms) {
        const auto parsed = mail::parse_next_hop(text);
        ASSERT_TRUE(parsed.has_value()) << text;
        EXPECT_EQ(*parsed, hop) << text << " gives " << parsed->host << " and " << parsed->service;
    }
}

TEST(next_hop_forms, path_is_a_local_socket) {
    const auto parsed = mail::parse_next_hop("/run/mail:25@host");
    ASSERT_TRUE(parsed.has_value());
    EXPECT_EQ(parsed->what, next_hop::kind::local);
    EXPECT_EQ(parsed->path, "/run/mail:25@host");
    EXPECT_TRUE(parsed->host.empty());
}

TEST(next_hop_forms, anything_else_is_an_error) {
    const std::string_view bad[] = {"",
                                    ":",
                                    "host",
                                    "host:",
                                    ":25",
                                    "1.2.3.4",
                                    "::1",
                                    "[::1]",
                                    "[::1]:",
                                    "[::1]25",
                                    "[host]:25",
                                    "[]:25",
                                    "[1.2.3.4]:25",
                                    "[::1:25",
                                    "::1]:25",
                                    "::1.",
                                    "::ffff:1.2.3.4",
                                    "1:2:3:4:5:6:7:8",
                                    "1:2:3:4:5:6:7:8:9:25",
                                    "1::2::3:25",
                                    "1:2:3:4:5:6:7::8:25",
                                    "12345::1:25",
                                    "g::1:25",
                                    "::1.2.3:25",
                                    "::1.2.3.256:25",
                                    "::1%:25",
                                    "::1%e]:25",
                                    "::1%e/0:25",
                                    "host:25:26",
                                    "host:0",
                                    "host:65536",
                                    "host:99999999999999999999",
                                    "host:25 ",
                                    "host: 25",
                                    " host:25",
                                    "ho st:25",
                                    "host:2/5",
                                    "ho\tst:25",
                                    "ho/st:25",
                                    "relative/path",
                                    "host:25@",
                                    "@proxy:1080",
                                    "far@proxy:1080",
                                    "far:25@proxy",
                                    "far:smtp@proxy:1080",
                                    "far:25@a:1@b:2",
                                    "far:25@/run/socks",
                                    "\xff.example:25",
                                    std::string_view("host\0:25", 8),
                                    std::string_view("/run/\0x", 7)};
    for (const auto text : bad) {
        const auto parsed = mail::parse_next_hop(text);
        ASSERT_FALSE(parsed.has_value()) << text;
        EXPECT_EQ(parsed.error().message(), "invalid host:service format: " + std::string(text));
    }
}

} // namespace
