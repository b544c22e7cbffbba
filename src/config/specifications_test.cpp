#include "config/specifications.hpp"

#include <gtest/gtest.h>

#include <string>

using namespace config;

namespace {

std::string absolute(std::string_view path) {
    return "abs:" + std::string(path);
}

std::string filter_error(std::string_view value) {
    const auto chain = read_filters(value, absolute);
    return chain ? "no error" : chain.error().message();
}

TEST(specifications, filters) {
    using enum filter_specification::kind;
    const auto chain =
        read_filters("/p,file:q,foo:bar,net:h:1,net:/s,spam:h:2,spam-edit:::1.3,exit:100,sleepms:5,"
                     "deliver:h,copy:,split:raw;2525,mx:,msgid:, /blank",
                     absolute);
    ASSERT_TRUE(chain) << chain.error().message();
    const filter_specification expected[] = {
        {program, "abs:/p"},
        {program, "abs:q"},
        {program, "abs:foo:bar"},
        {network, "h:1"},
        {network, "/s"},
        {spamd, "h:2"},
        {spamd_edit, "::1.3"},
        {filter_specification::kind::exit, "", 100},
        {sleep, "", 5},
        {deliver, "h"},
        {copy, ""},
        {split, "raw;2525"},
        {mx, ""},
        {message_id, ""},
        {program, "abs: /blank"},
    };
    ASSERT_EQ(chain->size(), std::size(expected));
    for (std::size_t i = 0; i < chain->size(); ++i) {
        EXPECT_EQ((*chain)[i].what, expected[i].what) << i;
        EXPECT_EQ((*chain)[i].value, expected[i].value) << i;
        EXPECT_EQ((*chain)[i].number, expected[i].number) << i;
    }
}

TEST(specifications, addresses_of_milters) {
    const std::pair<const char*, const char*> rows[] = {{"h:1", "h:1"},
                                                        {"/s", "/s"},
                                                        {"inet:1@h", "h:1"},
                                                        {"inet:h:1", "h:1"},
                                                        {"1@127.0.0.1", "127.0.0.1:1"},
                                                        {"inet6:1@::1", "[::1]:1"},
                                                        {"inet6:1@[::1]", "[::1]:1"},
                                                        {"unix:/s", "/s"},
                                                        {"local:/s", "/s"},
                                                        {"inet6:[::1]:1", "[::1]:1"}};
    for (const auto& [given, wanted] : rows) {
        const auto chain = read_filters(std::string("milter:") + given, absolute);
        ASSERT_TRUE(chain.has_value()) << given;
        EXPECT_EQ(chain->front().what, filter_specification::kind::milter);
        EXPECT_EQ(chain->front().value, wanted) << given;
    }
    for (const char* bad : {"", "h", "inet:", "inet:1@", "unix:s", "unix:", "local:", ":1"})
        EXPECT_EQ(filter_error(std::string("milter:") + bad),
                  std::string("invalid host:service format: ") + bad);
}

TEST(specifications, bad_filters) {
    EXPECT_EQ(filter_error(""), "empty file path");
    EXPECT_EQ(filter_error("/p,"), "empty file path");
    EXPECT_EQ(filter_error("file:"), "empty file path");
    EXPECT_EQ(filter_error("exit:"), "numeric value missing");
    EXPECT_EQ(filter_error("sleepms:"), "numeric value missing");
    EXPECT_EQ(filter_error("exit:-1"), "invalid numeric value: -1");
    EXPECT_EQ(filter_error("exit:1 "), "invalid numeric value: 1 ");
    EXPECT_EQ(filter_error("sleepms:4294967296"), "numeric value too big: 4294967296");
    EXPECT_EQ(filter_error("exit:99999999999999999999999"), "numeric value too big: 99999999999999999999999");
    EXPECT_EQ(filter_error("net:h"), "invalid host:service format: h");
    EXPECT_EQ(filter_error("net:"), "invalid host:service format: ");
    EXPECT_EQ(filter_error("spam:h:"), "invalid host:service format: h:");
    EXPECT_EQ(filter_error("spam-edit::1"), "invalid host:service format: :1");
    EXPECT_EQ(filter_error("exit:a\nb"), "invalid numeric value: a\\nb");
}

TEST(specifications, verifiers) {
    using enum verifier_specification::kind;
    EXPECT_EQ(read_verifier("/p", absolute)->value, "abs:/p");
    EXPECT_EQ(read_verifier("file:p", absolute)->value, "abs:p");
    EXPECT_EQ(read_verifier("net:h:1", absolute)->what, network);
    EXPECT_EQ(read_verifier("exit:3", absolute)->exit_code, 3U);
    EXPECT_EQ(read_verifier("a,b", absolute)->value, "abs:a,b"); // no chain
    EXPECT_FALSE(read_verifier("", absolute));
    EXPECT_FALSE(read_verifier("net:x", absolute));
    EXPECT_EQ(read_verifier("exit:", absolute).error().message(), "not a numeric exit code: ");
}

TEST(specifications, accounts) {
    const account_rule plain = read_verifier("account:", absolute)->account;
    EXPECT_EQ(plain.least_uid, 1000U);
    EXPECT_EQ(plain.greatest_uid, 32767U);
    EXPECT_FALSE(plain.lowercase || plain.check || plain.remote);

    const account_rule full = read_verifier("account:5-7;lowercase;check;remote;unknown", absolute)->account;
    EXPECT_EQ(full.least_uid, 5U);
    EXPECT_EQ(full.greatest_uid, 7U);
    EXPECT_TRUE(full.lowercase && full.check && full.remote);

    EXPECT_EQ(read_verifier("account:12", absolute)->account.greatest_uid, 12U);
    // An abbreviation sets one flag: l before r before c.
    EXPECT_TRUE(read_verifier("account:lrc", absolute)->account.lowercase);
    EXPECT_FALSE(read_verifier("account:lrc", absolute)->account.remote);
    EXPECT_TRUE(read_verifier("account:cr", absolute)->account.remote);
    EXPECT_FALSE(read_verifier("account:cr", absolute)->account.check);
    EXPECT_TRUE(read_verifier("account:c", absolute)->account.check);
    EXPECT_FALSE(read_verifier("account:lrcx", absolute)->account.lowercase);

    for (const char* bad : {"account:5-1", "account:1-", "account:1-x", "account:1x", "account:4294967296"})
        EXPECT_FALSE(read_verifier(bad, absolute)) << bad;
}

std::string dnsbl_error(std::string_view value) {
    const auto lists = read_dnsbl(value);
    return lists ? "no error" : lists.error().message();
}

TEST(specifications, block_lists_in_the_new_order) {
    EXPECT_FALSE(read_dnsbl("")->has_value());
    const auto plain = **read_dnsbl("bl.example");
    EXPECT_EQ(plain.domains, (std::vector<std::string>{"bl.example"}));
    EXPECT_EQ(plain.threshold, 1U);
    EXPECT_EQ(plain.timeout_milliseconds, 5000U);
    EXPECT_FALSE(plain.deny_on_timeout);
    EXPECT_EQ(plain.server, "");

    const auto full = **read_dnsbl("bl.example, b ,2,-7s,::1.53");
    EXPECT_EQ(full.domains, (std::vector<std::string>{"bl.example", "b"}));
    EXPECT_EQ(full.threshold, 2U);
    EXPECT_EQ(full.timeout_milliseconds, 7000U);
    EXPECT_TRUE(full.deny_on_timeout);
    EXPECT_EQ(full.server, "::1.53");

    EXPECT_EQ((**read_dnsbl("a,0,-500,127.0.0.1:53")).timeout_milliseconds, 500U);
    EXPECT_EQ((**read_dnsbl("a,1,1,::1:53")).server, "::1:53");
}

TEST(specifications, block_lists_in_the_old_order) {
    const auto full = **read_dnsbl("127.0.0.1:53,500,3,a.example,b.example");
    EXPECT_EQ(full.domains, (std::vector<std::string>{"a.example", "b.example"}));
    EXPECT_EQ(full.threshold, 3U);
    EXPECT_EQ(full.timeout_milliseconds, 500U);
    EXPECT_EQ(full.server, "127.0.0.1:53");
    EXPECT_EQ((**read_dnsbl(",500,1,a")).server, "");
}

TEST(specifications, bad_block_lists) {
    EXPECT_EQ(dnsbl_error("127.0.0.1:53,500,1"), "not enough comma-sparated fields");
    EXPECT_EQ(dnsbl_error("127.0.0.1"), "not enough comma-sparated fields");
    EXPECT_EQ(dnsbl_error(","), "not enough comma-sparated fields");
    EXPECT_EQ(dnsbl_error("127.0.0.1,500,1,a"), "address error: invalid network address: 127.0.0.1");
    EXPECT_EQ(dnsbl_error("127.0.0.1.53,500,1,a"), "address error: invalid network address: 127.0.0.1.53");
    EXPECT_EQ(dnsbl_error("127.0.0.1:65536,500,1,a"),
              "address error: invalid network address: 127.0.0.1:65536");
    EXPECT_EQ(dnsbl_error("[::1]:53,500,1,a"), "address error: invalid network address: [::1]:53");
    EXPECT_EQ(dnsbl_error(",x,1,a"), "string conversion error: x");
    EXPECT_EQ(dnsbl_error(",-,1,a"), "string conversion error: -");
    EXPECT_EQ(dnsbl_error(",s,1,a"), "string conversion error: s");
    EXPECT_EQ(dnsbl_error(",500,-1,a"), "string conversion error: -1");
    EXPECT_EQ(dnsbl_error("a,1.2"), "string conversion error: 1.2");
    EXPECT_EQ(dnsbl_error("a,1,99999999999"), "string conversion error: 99999999999");
    EXPECT_EQ(dnsbl_error("a,1,5,bl.example"), "address error: invalid network address: bl.example");
    EXPECT_EQ(dnsbl_error("a,1,5,127.0.0.1:53,x"), "unused fields");
}

TEST(specifications, switches_in_all_spellings) {
    const auto after = [](std::vector<std::string> items, bool start) {
        bool x = start;
        EXPECT_TRUE(read_switches(items, {{"x", &x}}).empty());
        return x;
    };
    for (const char* on : {"x", "+x", "with-x"})
        EXPECT_TRUE(after({on}, false)) << on;
    for (const char* off : {"-x", "nox", "without-x"})
        EXPECT_FALSE(after({off}, true)) << off;
    EXPECT_TRUE(after({"-x", "=x"}, true)); // back to the default
    EXPECT_FALSE(after({"+x", "=x"}, false));
    EXPECT_TRUE(after({"-x", "+x"}, true)); // the last one wins
    EXPECT_FALSE(after({"+x", "nox"}, true));
}

TEST(specifications, unknown_switches_are_given_back) {
    bool x = false;
    EXPECT_EQ(read_switches({"foo", "+x", "+foo", "no-x", "X", "+", "xx"}, {{"x", &x}}),
              (std::vector<std::string>{"foo", "+foo", "no-x", "X", "+", "xx"}));
    EXPECT_TRUE(x);
}

TEST(specifications, poll_periods) {
    EXPECT_EQ(read_poll_period("1"), 1000U);
    EXPECT_EQ(read_poll_period("4294967295"), 4294967295000U);
    EXPECT_EQ(read_poll_period("250ms"), 250U);
    EXPECT_EQ(read_poll_period("0ms"), 1U);
    for (const char* bad : {"", "0", "-1", "1s", "ms", "1.5", "1 ", "xms", "4294967296", "4294967295001ms"})
        EXPECT_FALSE(read_poll_period(bad)) << bad;
}

TEST(specifications, ip_addresses) {
    for (const char* good :
         {"0.0.0.0", "255.255.255.255", "::", "::1", "1::", "1:2:3:4:5:6:7:8", "fe80::1%eth0", "[::1]",
          "::ffff:1.2.3.4", "1:2:3:4:5:6:1.2.3.4", "1::8", "ABCD::ef", "1:2:3:4:5:6:7::"})
        EXPECT_TRUE(is_ip_address(good)) << good;
    for (const char* bad : {"",
                            "1",
                            "1.2.3",
                            "1.2.3.256",
                            "1.2.3.4.5",
                            "1.2.3.0004",
                            "01.2.3.x",
                            ":",
                            ":::",
                            "1:2",
                            "1:2:3:4:5:6:7:8:9",
                            "1::2::3",
                            "12345::",
                            "g::",
                            "fe80::1%",
                            "fe80::1%a%b",
                            "[1.2.3.4]",
                            "[::1",
                            "[]",
                            "1.2.3.4::",
                            "1.2.3.4%eth0",
                            "::1.2.3.4:1",
                            "1:2:3:4:5:6:7:1.2.3.4",
                            "1:2:3:4::5:6:7:8",
                            "eth0",
                            "::1 "})
        EXPECT_FALSE(is_ip_address(bad)) << bad;
    EXPECT_FALSE(is_ip_address(std::string(100'000, ':')));
}

} // namespace
