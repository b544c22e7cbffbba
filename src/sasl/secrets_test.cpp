// The grammar of secrets files and the texts about wrong ones (spec/authentication.md sections 2 and 5).
#include "sasl/secrets.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace {

using sasl::secrets;
using testing::ElementsAre;
using testing::IsEmpty;

std::vector<std::string> problems_of(std::string_view text) {
    std::vector<std::string> out;
    for (const secrets::problem& p : secrets::parse(text).problems)
        out.push_back(std::to_string(p.line) + (p.warning ? " warning: " : " error: ") + p.text);
    return out;
}

std::shared_ptr<const secrets> good(std::string_view text) {
    const secrets::parsed p = secrets::parse(text);
    EXPECT_THAT(p.problems, IsEmpty()) << text;
    EXPECT_EQ(p.unusable, "") << text;
    return p.value;
}

TEST(secrets_file, one_of_each) {
    const auto s = good("# comment\n"
                        "   \t# another\n"
                        "\n"
                        "server plain alice pass+20word\r\n"
                        "SERVER LOGIN bob+2bb secret=\n"
                        "server\tplain:b  Y2Fyb2w= cGFzcyB3b3Jk\n"
                        "server plain:b ZGF2ZQ c2VjcmV0 # padding may be missing\n"
                        "server cram-md5 erin qeD38fvADIqBu6rDlXMbVs07p96q1uXKI0SLpC43l0c=\n"
                        "server sha256 frank bad1\n"
                        "client plain me myself ");
    ASSERT_TRUE(s);
    EXPECT_EQ(s->server("plain", "alice")->secret.view(), "pass word");
    EXPECT_EQ(s->server("plain", "alice")->line, 4U);
    EXPECT_EQ(s->server("plain", "alice")->description(), "plaintext secret for [alice] from line 4");
    EXPECT_EQ(s->server("plain", "bob+b")->secret.view(), "secret=");
    EXPECT_EQ(s->server("plain", "carol")->secret.view(), "pass word");
    EXPECT_EQ(s->server("plain", "dave")->secret.view(), "secret");
    EXPECT_EQ(s->server("md5", "erin")->secret.size(), 32U);
    EXPECT_EQ(s->server("md5", "erin")->description(), "md5 secret for [erin] from line 8");
    EXPECT_EQ(s->server("sha256", "frank")->secret.size(), 3U);
    EXPECT_EQ(s->server("plain", "me"), nullptr);
    EXPECT_EQ(s->server("plain", "Alice"), nullptr);
    EXPECT_EQ(s->client("plain", "")->secret.view(), "myself");
    EXPECT_TRUE(s->has_server("plain"));
    EXPECT_FALSE(s->has_server("sha1"));
}

TEST(secrets_file, dotted_secret) {
    const std::string dotted =
        "4059553961.2316091643.3282746241.1444639637.3735501773.3404060330.2760590371.1201092398";
    EXPECT_EQ(good("server md5 x " + dotted)->server("md5", "x")->secret.view(),
              sasl::hmac_state(sasl::hash_function::md5, "secret").view());
    EXPECT_EQ(good("server apop x " + dotted)->server("md5", "x")->secret.size(), 32U);
}

TEST(secrets_file, selectors) {
    EXPECT_THAT(problems_of("client plain a x\nclient login b y # now\nclient plain c z sel"),
                ElementsAre("2 error: duplicate client secret"));
    EXPECT_TRUE(good("client plain a x\nclient md5 a 1.2.3.4.5.6.7.8")->client("md5", ""));
    const auto two =
        good("client plain b y work\nclient oauth:b me dXNlcj1tZQ== work\nclient plain:b = = quiet");
    EXPECT_EQ(two->client("plain", "work")->id, "b");
    EXPECT_EQ(two->client("oauth", "work")->secret.view(), "user=me");
    EXPECT_EQ(two->client("plain", "quiet")->id, "");
    EXPECT_TRUE(two->client("plain", "quiet")->secret.empty());
    EXPECT_TRUE(two->has_selector("work"));
    EXPECT_FALSE(two->has_selector(""));
    EXPECT_FALSE(two->has_selector("Work"));
    EXPECT_TRUE(good("client kerberos me x strange")->has_selector("strange"));
    EXPECT_FALSE(good("server plain a b")->has_clients());
}

TEST(secrets_file, wrong_lines) {
    EXPECT_THAT(problems_of("foo plain a b"), ElementsAre("1 error: invalid value in first field: [foo]"));
    EXPECT_THAT(problems_of("CRAM-MD5 server id secret"),
                ElementsAre("1 error: invalid value in first field: [CRAM-MD5]"));
    EXPECT_THAT(problems_of("\nserver plain a"), ElementsAre("2 error: too few fields"));
    EXPECT_THAT(problems_of("server"), ElementsAre("1 error: too few fields"));
    EXPECT_THAT(problems_of("server plain a b c d"), ElementsAre("1 warning: too many fields"));
    EXPECT_THAT(problems_of("server plain a b c"), IsEmpty());
    EXPECT_THAT(problems_of("server plain a b # c d e"), IsEmpty());
    EXPECT_THAT(problems_of("server plain a b\nserver PLAIN a c"),
                ElementsAre("2 error: duplicate server secret"));
    EXPECT_THAT(problems_of("server plain a b\nserver plain:b YQ== Yw=="),
                ElementsAre("2 error: duplicate server secret"));
    EXPECT_THAT(problems_of("server plain a b\nserver md5 a 1.2.3.4.5.6.7.8"), IsEmpty());
    EXPECT_THAT(problems_of("server none 10.0.0.1 x\nserver none 10.0.0.1 y"),
                ElementsAre("2 error: duplicate server trust address"));
    EXPECT_THAT(problems_of("server gssapi a +zz\nserver gssapi a +zz"), IsEmpty());
    EXPECT_THAT(problems_of("\x1b[2J plain a b"),
                ElementsAre("1 error: invalid value in first field: [\\x1b[2J]"));
}

TEST(secrets_file, good_lines_count_beside_wrong_ones) {
    const auto p = secrets::parse("server plain a\nserver plain b c\nserver plain b d\n");
    ASSERT_TRUE(p.value);
    EXPECT_EQ(p.problems.size(), 2U);
    EXPECT_EQ(p.value->server("plain", "b")->secret.view(), "c");
}

TEST(secrets_file, unusable) {
    const auto why = [](std::string_view text) {
        const auto p = secrets::parse(text);
        EXPECT_EQ(p.value, nullptr);
        return p.unusable;
    };
    EXPECT_EQ(why("server plain a b\nserver plain a+2 b"), "line 2: invalid xtext encoding of id");
    EXPECT_EQ(why("server plain a b+"), "line 1: invalid xtext encoding of secret");
    EXPECT_EQ(why("server plain b\xc3\xa4r b"), "line 1: invalid xtext encoding of id");
    EXPECT_EQ(why("server plain:b a! b"), "line 1: invalid base64 encoding of id");
    EXPECT_EQ(why("server plain:b YQ== b"), "line 1: invalid base64 encoding of secret");
    EXPECT_EQ(why("server md5 a 1.2.3.4"), "line 1: invalid base64 encoding of secret");
    EXPECT_EQ(why("client oauth a user=x"), "line 1: invalid base64 encoding of secret");
    EXPECT_EQ(why("server plain a+x b\nserver plain b+x c"), "line 1: invalid xtext encoding of id");
}

TEST(secrets_file, inline_form) {
    const auto s = secrets::parse_inline("plain:bWU=:c2VjcmV0");
    ASSERT_TRUE(s);
    EXPECT_EQ(s->client("plain", "")->id, "me");
    EXPECT_EQ(s->client("plain", "")->secret.view(), "secret");
    EXPECT_EQ(s->client("plain", "")->description(), "plaintext secret for [me]");
    EXPECT_TRUE(s->has_selector(""));
    EXPECT_TRUE(secrets::parse_inline("plain:bWU:c2VjcmV0"));
    EXPECT_TRUE(secrets::parse_inline("plain:=:="));
    for (const char* bad : {"plain:", "plain:bWU=", "plain:b*=:x", "plain:bWU=:c", "login:bWU=:c2VjcmV0", ""})
        EXPECT_FALSE(secrets::parse_inline(bad)) << bad;
}

std::string matched(std::string_view file, std::string_view address) {
    const auto s = good(file);
    const auto* t = s->trusted(address);
    return t != nullptr ? t->keyword : "-";
}

TEST(trusted_addresses, forms) {
    struct row {
        std::string range, address;
        bool matches;
    };
    const row rows[] = {
        {"192.168.0.1", "192.168.0.1", true},
        {"192.168.0.1", "192.168.0.2", false},
        {"192.168.0.*", "192.168.0.77", true},
        {"192.168.0.*", "192.168.1.77", false},
        {"192.168.*.*", "192.168.9.77", true},
        {"192.*.*.*", "192.1.2.3", true},
        {"*.*.*.*", "8.8.8.8", true},
        {"*.*.*.*", "::1", false},
        {"127.*", "127.0.0.1", false},
        {"*", "127.0.0.1", false},
        {"*.0.0.1", "127.0.0.1", false},
        {"192.168.0*", "192.168.0.1", false},
        {"192.168.0.0/24", "192.168.0.255", true},
        {"192.168.0.0/24", "192.168.1.0", false},
        {"127.3.0.0/20", "127.3.9.1", true}, // an off-by-one mask misses it
        {"127.3.0.0/20", "127.3.16.1", false},
        {"10.0.0.0/17", "10.0.127.255", true},
        {"10.0.0.0/17", "10.0.128.0", false},
        {"10.0.0.0/21", "10.0.7.255", true},
        {"10.0.0.0/21", "10.0.8.0", false},
        {"0.0.0.0/0", "1.2.3.4", true},
        {"127.0.0.1/8", "127.0.0.1", false}, // host bits
        {"127.0.0.1/32", "127.0.0.1", true},
        {"127.0.0.0/33", "127.0.0.0", false},
        {"127.0.0.0/08", "127.0.0.1", false},
        {"fe80::/64", "fe80::1234", true},
        {"fe80::/64", "fe80::1234%eth0", true},
        {"fe80::/64", "fe80:0:0:1::1", false},
        {"::1/128", "::1", true},
        {"::1", "::1", true},
        {"::/0", "2001:db8::1", true},
        {"::/0", "1.2.3.4", false},
        {"/run/mail.sock", "/run/mail.sock", true},
        {"/run/mail.sock", "/run/other.sock", false},
        {"/run/mail.sock", "127.0.0.1", false},
    };
    for (const row& r : rows)
        EXPECT_EQ(matched("server none " + r.range + " trusted", r.address) == "trusted", r.matches)
            << r.range << ' ' << r.address;
}

TEST(trusted_addresses, exact_first_then_the_narrowest) {
    const std::string file = "server none *.*.*.* all\n"
                             "server none 10.0.0.0/8 eight\n"
                             "server none 10.0.0.* net\n"
                             "server none 10.0.0.0/31 pair\n"
                             "server none 10.0.0.1 one\n";
    EXPECT_EQ(matched(file, "10.0.0.1"), "one");
    EXPECT_EQ(matched(file, "10.0.0.0"), "pair");
    EXPECT_EQ(matched(file, "10.0.0.2"), "net");
    EXPECT_EQ(matched(file, "10.1.0.2"), "eight");
    EXPECT_EQ(matched(file, "11.1.0.2"), "all");
    EXPECT_EQ(good(file)->trusted("10.0.0.1")->line, 5U);
}

} // namespace
