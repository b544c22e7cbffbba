#include "sasl/mechanism.hpp"
#include "sasl/server.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <string>

namespace {

using namespace sasl;

std::string offered(std::string_view file, std::string_view rules, bool encrypted = false,
                    bool can_bind = false) {
    const server s(secrets::parse(file).value,
                   std::make_shared<const mechanism_rules>(mechanism_rules::parse(rules, false)),
                   std::make_shared<const base::secret_text>("salt"));
    std::string out;
    for (mechanism m : s.mechanisms(encrypted, can_bind))
        out += (out.empty() ? "" : " ") + std::string(name_of(m));
    return out;
}

const std::string plain = "server plain a b\n";
const std::string all = "CRAM-SHA512 CRAM-SHA256 CRAM-SHA1 CRAM-MD5 PLAIN LOGIN";

TEST(mechanisms, follow_the_secrets) {
    EXPECT_EQ(offered(plain, ""), all);
    EXPECT_EQ(offered(plain + "server md5 x 1.2.3.4.5.6.7.8", ""), all);
    EXPECT_EQ(offered("server md5 x 1.2.3.4.5.6.7.8", ""), "CRAM-MD5");
    EXPECT_EQ(offered("server sha1 x AAAA\nserver sha512 x AAAA", ""), "CRAM-SHA512 CRAM-SHA1");
    EXPECT_EQ(offered("server none 1.2.3.4 x", ""), "");
    EXPECT_EQ(offered("server none 1.2.3.4 x", "", true), "PLAIN");
    EXPECT_EQ(offered("client plain a b", ""), "");
    EXPECT_EQ(offered("client plain a b", "", true), "PLAIN");
    EXPECT_EQ(offered("client plain a b", "x:plain", true), "");
}

TEST(mechanisms, lists) {
    EXPECT_EQ(offered(plain, "m:login,PLAIN"), "PLAIN LOGIN");
    EXPECT_EQ(offered(plain, "M: login , cram-md5 "), "CRAM-MD5 LOGIN");
    EXPECT_EQ(offered(plain, "m:"), "");
    EXPECT_EQ(offered(plain, "m:", true), "");
    EXPECT_EQ(offered(plain, "x:plain,login"), "CRAM-SHA512 CRAM-SHA256 CRAM-SHA1 CRAM-MD5");
    EXPECT_EQ(offered(plain, "x:"), all);
    EXPECT_EQ(offered(plain, "m:plain,login;x:login"), "PLAIN");
    EXPECT_EQ(offered(plain, "m:plain", true), "PLAIN");
    EXPECT_EQ(offered(plain, "m:;a:plain,login"), "");
    EXPECT_EQ(offered(plain, "m:;a:plain,login", true), "PLAIN LOGIN");
    EXPECT_EQ(offered(plain, "d:plain,login"), all);
    EXPECT_EQ(offered(plain, "d:plain,login", true), "CRAM-SHA512 CRAM-SHA256 CRAM-SHA1 CRAM-MD5");
    EXPECT_EQ(offered(plain, "a:", true), "");
    EXPECT_EQ(offered(plain, "plain"), all); // a bare word is ignored
    EXPECT_EQ(offered(plain, "q:plain"), all);
    EXPECT_EQ(offered(plain, "m:xoauth2"), "");
}

TEST(mechanisms, scram_is_for_those_who_name_it) {
    EXPECT_EQ(offered(plain, "m:scram-sha-256,plain"), "SCRAM-SHA-256 PLAIN");
    EXPECT_EQ(offered(plain, "a:scram-sha-256,scram-sha-256-plus"), all);
    EXPECT_EQ(offered(plain, "a:scram-sha-256,scram-sha-256-plus", true), "SCRAM-SHA-256");
    EXPECT_EQ(offered(plain, "a:scram-sha-256,scram-sha-256-plus", true, true),
              "SCRAM-SHA-256-PLUS SCRAM-SHA-256");
    EXPECT_EQ(offered(plain, "m:scram-sha-256-plus", false, true), "");
    EXPECT_EQ(offered("server md5 x 1.2.3.4.5.6.7.8", "m:scram-sha-256"), "");
}

TEST(mechanisms, of_pam) {
    const server pam(std::make_shared<const mechanism_rules>(mechanism_rules::parse("", false)));
    EXPECT_EQ(pam.mechanisms(false), std::vector{mechanism::plain});
    EXPECT_FALSE(pam.offers_apop(false));
    EXPECT_EQ(pam.trusted("127.0.0.1"), nullptr);
}

TEST(mechanisms, bare_words_of_clients) {
    const auto one = mechanism_rules::parse("plain", true);
    EXPECT_TRUE(one.allow(mechanism::plain, false));
    EXPECT_TRUE(one.allow(mechanism::plain, true));
    EXPECT_FALSE(one.allow(mechanism::login, false));
    EXPECT_TRUE(mechanism_rules::parse("plain;login", true).allow(mechanism::cram_md5, false));
    EXPECT_FALSE(mechanism_rules::parse("m:", true).allow(mechanism::plain, false));
    EXPECT_TRUE(mechanism_rules::parse("", true).allow(mechanism::plain, false));
    EXPECT_TRUE(mechanism_rules::parse("oauthbearer", true).allow(mechanism::oauthbearer, false));
    EXPECT_FALSE(mechanism_rules::parse("", true).allow(mechanism::oauthbearer, false));
}

TEST(mechanisms, names) {
    for (mechanism m : all_mechanisms())
        EXPECT_EQ(mechanism_named(log_name(m)), m);
    EXPECT_EQ(mechanism_named("ntlm"), std::nullopt);
    EXPECT_EQ(mechanism_named(""), std::nullopt);
}

} // namespace
