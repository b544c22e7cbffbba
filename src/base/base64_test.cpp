#include "base/base64.hpp"

#include <gtest/gtest.h>

#include <optional>
#include <string>

namespace {

using base::base64_decode;
using base::base64_encode;

TEST(base64, vectors_of_rfc_4648) {
    const std::string text = "foobar";
    const std::string coded[] = {"", "Zg==", "Zm8=", "Zm9v", "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"};
    for (std::size_t i = 0; i <= text.size(); ++i) {
        EXPECT_EQ(base64_encode(text.substr(0, i)), coded[i]);
        EXPECT_EQ(base64_decode(coded[i]), text.substr(0, i));
        EXPECT_EQ(base64_decode(coded[i].substr(0, coded[i].find('='))), text.substr(0, i));
    }
}

TEST(base64, every_byte) {
    std::string all;
    for (int c = 0; c < 256; ++c)
        all += static_cast<char>(c);
    EXPECT_EQ(base64_decode(base64_encode(all)), all);
    EXPECT_EQ(base64_encode("\xff\xfe\xfb"), "//77");
}

TEST(base64, refused) {
    for (const char* text : {"Z", "Zm9vY", "Zg=", "Zm9v=", "Zm8==", "Zg===", "====", "==", "Z m8=", "Zm8=\n",
                             "Zm-_", "Zg==Zg==", "*", "Zm8=Zm8="})
        EXPECT_EQ(base64_decode(text), std::nullopt) << text;
    EXPECT_EQ(base64_decode("="), "");
}

} // namespace
