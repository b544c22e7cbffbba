#include "passwd/passwd.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace {

using testing::HasSubstr;
using testing::StartsWith;

config::ending answer(const std::vector<std::string>& words, std::string_view line = {}) {
    return passwd::answer(words, 79, [line] { return base::secret_text(line); });
}

TEST(passwd, masks) {
    const std::string secret = "qeD38fvADIqBu6rDlXMbVs07p96q1uXKI0SLpC43l0c=\n";
    EXPECT_EQ(answer({}, "secret\n").out, secret);
    EXPECT_EQ(answer({}, " \tsecret \r\n").out, secret);
    EXPECT_EQ(answer({"--password=secret"}).out, secret);
    EXPECT_EQ(answer({"-p", "secret"}).out, secret);
    EXPECT_EQ(answer({"-b"}, "c2VjcmV0").out, secret);
    EXPECT_EQ(answer({"--hash", "md5", "-v", "-t", "-T", "x"}, "secret").out, secret);
    EXPECT_EQ(answer({"-d"}, "secret").out,
              "4059553961.2316091643.3282746241.1444639637.3735501773.3404060330.2760590371.1201092398\n");
    EXPECT_EQ(answer({"-H", "Sha1"}, "secret").out,
              "Q3Lhrmvp8z2xD/Ckw5CktjQgnZJMDx4Jfie1bDm2vuIxCA2mza3ItQ==\n");
    EXPECT_EQ(answer({"--hash=SHA256"}, "secret").out,
              "MU+AcmgBQrCi3tMEopHp9AaJHBuUFRa+dPsCsrPOyK8qB4RaItI3q605sXVkJan3vnT2x5l955idaG8fRVLgKQ==\n");
    EXPECT_EQ(answer({"--hash=SHA512"}, "secret").out.size(), 173U); // 128 octets
    EXPECT_EQ(answer({"--hash=none"}, "a b+c").out, "a+20b+2Bc\n");
    EXPECT_EQ(answer({}, "secret").exit_code, 0);
    EXPECT_EQ(answer({}, "secret").err, "");
}

TEST(passwd, errors) {
    const auto err = [](const std::vector<std::string>& words, std::string_view line = "secret") {
        const auto end = answer(words, line);
        EXPECT_EQ(end.exit_code, 1);
        EXPECT_EQ(end.out, "");
        return end.err;
    };
    EXPECT_EQ(err({}, ""), "emailrelay-passwd: exception: invalid password\n");
    EXPECT_EQ(err({}, " \n"), "emailrelay-passwd: exception: invalid password\n");
    EXPECT_EQ(err({"--hash=sha3"}), "emailrelay-passwd: exception: invalid hash function\n");
    EXPECT_EQ(err({"-d", "-H", "sha1"}), "emailrelay-passwd: exception: --dotted only works for md5\n");
    EXPECT_EQ(err({"-d", "-H", "none"}), "emailrelay-passwd: exception: --dotted only works for md5\n");
    EXPECT_THAT(err({"-b"}, "!"), HasSubstr("invalid base64"));
    EXPECT_EQ(err({"--foo"}), "emailrelay-passwd: error: invalid option: \"--foo\"\n");
    EXPECT_THAT(err({"secret"}),
                StartsWith("emailrelay-passwd: too many command-line arguments (the password is "
                           "read from the standard input)\n"));
    EXPECT_THAT(err({"secret"}), HasSubstr("usage: emailrelay-passwd"));
}

TEST(passwd, help) {
    const auto end = answer({"--help"});
    EXPECT_EQ(end.exit_code, 0);
    EXPECT_THAT(end.out, HasSubstr("--hash=<function>"));
    EXPECT_THAT(end.out, testing::Not(HasSubstr("--password")));
}

} // namespace
