#include "mail/idn.hpp"

#include <gtest/gtest.h>

#include <string>

namespace {

std::string a_labels(std::string_view domain) {
    return mail::to_a_labels(domain).value_or("(none)");
}

} // namespace

TEST(idn, label_by_label) {
    EXPECT_EQ(a_labels("b\u00fccher.example"), "xn--bcher-kva.example");
    EXPECT_EQ(a_labels("www.b\u00fccher.\u4f8b\u5b50"), "www.xn--bcher-kva.xn--fsqu00a");
    EXPECT_EQ(a_labels("\u00fc"), "xn--tda");
}

TEST(idn, ascii_is_left_alone) {
    EXPECT_EQ(a_labels(""), "");
    EXPECT_EQ(a_labels("Example.COM"), "Example.COM");
    EXPECT_EQ(a_labels("a..b."), "a..b.");
    EXPECT_EQ(a_labels("[192.0.2.1]"), "[192.0.2.1]");
    EXPECT_EQ(a_labels("xn--bcher-kva.Example"), "xn--bcher-kva.Example");
}

TEST(idn, nothing_is_mapped_or_normalised) {
    EXPECT_EQ(a_labels("B\u00dcCHER.Example"), "xn--BCHER-2pa.Example");
    EXPECT_NE(a_labels("bu\u0308cher.example"), a_labels("b\u00fccher.example")); // decomposed
    EXPECT_EQ(a_labels("\U0001f4a9.la"), "xn--ls8h.la");
}

TEST(idn, samples_of_rfc_3492_section_7) {
    // (B), (I) in lower case, (L), (R)
    EXPECT_EQ(a_labels("\u4ed6\u4eec\u4e3a\u4ec0\u4e48\u4e0d\u8bf4\u4e2d\u6587"),
              "xn--ihqwcrb4cv8a8dqg056pqjye");
    EXPECT_EQ(
        a_labels("\u043f\u043e\u0447\u0435\u043c\u0443\u0436\u0435\u043e\u043d\u0438\u043d\u0435\u0433\u043e"
                 "\u0432\u043e\u0440\u044f\u0442\u043f\u043e\u0440\u0443\u0441\u0441\u043a\u0438"),
        "xn--b1abfaaepdrnnbgefbadotcwatmq2g4l");
    EXPECT_EQ(a_labels("3\u5e74B\u7d44\u91d1\u516b\u5148\u751f"), "xn--3B-ww4c5e180e575a65lsy2b");
    EXPECT_EQ(a_labels("\u305d\u306e\u30b9\u30d4\u30fc\u30c9\u3067"), "xn--d9juau41awczczp");
}

// As registries and other programs know them.
TEST(idn, names_of_many_scripts) {
    EXPECT_EQ(a_labels("\u00df.de"), "xn--zca.de");
    EXPECT_EQ(a_labels("\u03b2\u03cc\u03bb\u03bf\u03c2.com"), "xn--nxasmm1c.com");
    EXPECT_EQ(a_labels("\u0646\u0627\u0645\u0647\u200c\u0627\u06cc.com"), "xn--mgba3gch31f060k.com");
    EXPECT_EQ(a_labels("\u65e5\u672c\u8a9e.jp"), "xn--wgv71a119e.jp");
    EXPECT_EQ(a_labels("a-\u00e9-b.fr"), "xn--a--b-cpa.fr");
    EXPECT_EQ(a_labels("\u0e44\u0e17\u0e22.com"), "xn--o3cw4h.com");
    EXPECT_EQ(a_labels("\u00fc.\u00e4.\u00f6"), "xn--tda.xn--4ca.xn--nda");
}

TEST(idn, what_is_not_a_name_is_refused) {
    EXPECT_FALSE(mail::to_a_labels("b\xfc"));
    EXPECT_FALSE(mail::to_a_labels("b\xc3"));
    EXPECT_FALSE(mail::to_a_labels("\xed\xa0\x80"));
    EXPECT_FALSE(mail::to_a_labels(std::string(1023, 'a') + "\u00fc"));
}

TEST(idn, what_it_gives_it_gives_again) {
    std::string name;
    for (int i = 0; i < 300; ++i)
        name += "\u00fc.";
    const std::string once = a_labels(name);
    EXPECT_GT(once.size(), 1024U);
    EXPECT_EQ(a_labels(once), once);
}

TEST(idn, longest_input_of_the_largest_code_points) {
    std::string name;
    while (name.size() + 4 <= 1024)
        name += "\U0010ffff";
    auto out = mail::to_a_labels(name);
    ASSERT_TRUE(out);
    EXPECT_EQ(out->substr(0, 4), "xn--");
}
