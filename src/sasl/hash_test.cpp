// Values of spec/authentication.md section 6, of RFC 2195, and agreement with OpenSSL's own HMAC.
#include "sasl/hash.hpp"

#include "base/base64.hpp"

#include <gtest/gtest.h>

namespace {

using namespace sasl;
using enum hash_function;

struct masked {
    std::string password;
    hash_function hash;
    std::string value;
};

class masked_secrets : public testing::TestWithParam<masked> {};

TEST_P(masked_secrets, as_published) {
    const masked& m = GetParam();
    EXPECT_EQ(base::base64_encode(hmac_state(m.hash, m.password).view()), m.value);
    EXPECT_EQ(hmac_state_size(m.hash), base::base64_decode(m.value)->size());
}

const std::string a64(64, 'a'), zeros80(80, '0');

INSTANTIATE_TEST_SUITE_P(
    spec, masked_secrets,
    testing::Values(
        masked{"secret", md5, "qeD38fvADIqBu6rDlXMbVs07p96q1uXKI0SLpC43l0c="},
        masked{"secret", sha1, "Q3Lhrmvp8z2xD/Ckw5CktjQgnZJMDx4Jfie1bDm2vuIxCA2mza3ItQ=="},
        masked{"secret", sha256,
               "MU+AcmgBQrCi3tMEopHp9AaJHBuUFRa+dPsCsrPOyK8qB4RaItI3q605sXVkJan3vnT2x5l955idaG8fRVLgKQ=="},
        masked{a64, md5, "aVEQ3REDCNq/ihh+qA2gvGlXcU1eaOecSvHmSEEAbZo="},
        masked{a64, sha1, "KF/2ILDt3haNA2GOODpwbdsKMrbwHIEBnTzOckoZCaeZD3bS/g9rKw=="},
        masked{a64, sha256,
               "OjoPhx5gpF+HDow9yFs62febJnB27LsFn0Ih0XJqsmzzqsghSS3kIZDmIR0cKJXQV3febEKoUZCQIPbfe3a6TA=="},
        masked{zeros80, md5, "du76hg7AlgGOdzZIexDxK9Rhn1JBLlvvpzkpnriuJgI="},
        masked{zeros80, sha1, "xkgv/9o0ybEyWDvnhWcpZnjItaFPM6SvnpojruUymNyNv/hwyUAgSg=="},
        masked{zeros80, sha256,
               "etghjhN30hojMh8g+KLzvOgMTnKwasT4GKrsjRIjgM1aMRd8zy1v8eOAyhUterp0btZpd5CAFUvNvv2RDFKenA=="},
        masked{"tanstaaf tanstaaf", md5, "SMdv7caj9ojgVlDKjlXAc4n5vXyY4n94z68UZCt647k="}));

TEST(hash, dotted_form) {
    const std::string secret =
        "4059553961.2316091643.3282746241.1444639637.3735501773.3404060330.2760590371.1201092398";
    EXPECT_EQ(dotted_form(hmac_state(md5, "secret").view()), secret);
    EXPECT_EQ(from_dotted_form(secret)->view(), hmac_state(md5, "secret").view());
    EXPECT_EQ(dotted_form(hmac_state(md5, zeros80).view()),
              "2264591990.26656782.1211529102.737218683.1386176980.4015730241.2653501863.36089528");
    EXPECT_FALSE(from_dotted_form("1.2.3.4.5.6.7"));
    EXPECT_FALSE(from_dotted_form("1.2.3.4.5.6.7.8.9"));
    EXPECT_FALSE(from_dotted_form("1.2.3.4.5.6.7.x"));
    EXPECT_FALSE(from_dotted_form("1.2.3.4.5.6.7.4294967296"));
    EXPECT_TRUE(from_dotted_form("1.2.3.4.5.6.7.4294967295"));
}

TEST(hash, hmac_from_state_is_hmac) {
    for (hash_function h : hash_functions)
        for (std::size_t key : {0U, 1U, 63U, 64U, 65U, 127U, 128U, 129U, 300U})
            for (std::size_t text : {0U, 1U, 55U, 56U, 63U, 64U, 111U, 112U, 128U, 1000U}) {
                const std::string k(key, 'k'), t(text, 't');
                EXPECT_EQ(to_hex(hmac_from_state(h, hmac_state(h, k).view(), t)), to_hex(hmac(h, k, t)))
                    << name_of(h) << ' ' << key << ' ' << text;
            }
}

TEST(hash, published_values) {
    // RFC 2195 section 2, RFC 7914 section 11, FIPS 180 examples.
    EXPECT_EQ(to_hex(hmac(md5, "tanstaaftanstaaf", "<1896.697170952@postoffice.reston.mci.net>")),
              "b913a602c7eda7a495b4e6e7334d3890");
    EXPECT_EQ(to_hex(pbkdf2(sha256, "passwd", "salt", 1).view()),
              "55ac046e56e3089fec1691c22544b605f94185216dde0465e68b9d57c20dacbc");
    EXPECT_EQ(to_hex(digest(sha1, "abc")), "a9993e364706816aba3e25717850c26c9cd0d89d");
    EXPECT_EQ(to_hex(digest(md5, "")), "d41d8cd98f00b204e9800998ecf8427e");
}

TEST(hash, names) {
    for (hash_function h : hash_functions)
        EXPECT_EQ(hash_named(name_of(h)), h);
    EXPECT_EQ(hash_named("SHA256"), sha256);
    EXPECT_EQ(hash_named("sha3"), std::nullopt);
    EXPECT_EQ(hash_named(""), std::nullopt);
}

TEST(hash, comparison) {
    EXPECT_TRUE(equal_in_constant_time("", ""));
    EXPECT_TRUE(equal_in_constant_time("a b", "a b"));
    EXPECT_FALSE(equal_in_constant_time("a", "b"));
    EXPECT_FALSE(equal_in_constant_time("a", "aa"));
    EXPECT_FALSE(equal_in_constant_time(std::string_view("a\0b", 3), "a"));
}

} // namespace
