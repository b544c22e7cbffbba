#include "mail/received.hpp"

#include <gtest/gtest.h>

using namespace std::string_literals;

namespace {

const base::calendar_time now{
    .year = 2026, .month = 11, .day = 22, .hour = 5, .minute = 43, .second = 47, .weekday = 0};

mail::trace plain(std::string_view helo = "client.example") {
    mail::trace t;
    t.helo = helo;
    t.address = "127.0.0.1";
    t.domain = "test.example.com";
    return t;
}

std::string line(const mail::trace& t) {
    return mail::received_line(t, now);
}

} // namespace

TEST(received, plain_session) {
    EXPECT_EQ(line(plain()), "Received: from client.example ([127.0.0.1]) by test.example.com with ESMTP ; "
                             "Sun, 22 Nov 2026 05:43:47 +0000\r\n");
}

TEST(received, protocol_word_tells_of_encryption_and_authentication) {
    auto t = plain("tls");
    t.tls = true;
    t.tls_cipher = "TLS_AES_256_GCM_SHA384";
    EXPECT_EQ(line(t),
              "Received: from tls ([127.0.0.1]) by test.example.com with ESMTPS tls TLS_AES_256_GCM_SHA384 ; "
              "Sun, 22 Nov 2026 05:43:47 +0000\r\n");
    t.authenticated = true;
    EXPECT_NE(line(t).find(" with ESMTPSA tls "), std::string::npos);
    t.tls = false;
    EXPECT_NE(line(t).find(" with ESMTPA ; "), std::string::npos);
}

TEST(received, cipher_is_letters_digits_and_underscores) {
    auto t = plain();
    t.tls = true;
    t.tls_cipher = "ECDHE-RSA-AES256-GCM-SHA384";
    EXPECT_NE(line(t).find(" tls ECDHE_RSA_AES256_GCM_SHA384 ; "), std::string::npos);
    t.tls_cipher = "A (b);\r\n_9";
    EXPECT_NE(line(t).find(" tls Ab_9 ; "), std::string::npos);
}

TEST(received, a_helo_name_cannot_break_the_line) {
    EXPECT_EQ(line(plain("a b\tc")).find("Received: from a-b-c (["), 0U);
    EXPECT_EQ(line(plain("a\r\nX: y\0\x7f"s)).find("Received: from a\\r\\nX:-y\\0\\x7f (["), 0U);
    EXPECT_EQ(line(plain("b\xc3\xbc")).find("Received: from b\\xc3\\xbc (["), 0U);
    EXPECT_EQ(line(plain("a\\b")).find("Received: from a\\\\b (["), 0U);
}

TEST(received, address_forms) {
    auto t = plain();
    t.address = "2001:db8::1";
    EXPECT_NE(line(t).find(" ([2001:db8::1]) "), std::string::npos);
    t.address = "/";
    EXPECT_NE(line(t).find(" ([/]) "), std::string::npos);
}

TEST(received, nameless_client_is_known_by_its_address) {
    EXPECT_EQ(line(plain("")), "Received: from [127.0.0.1] ([127.0.0.1]) by test.example.com with ESMTP ; "
                               "Sun, 22 Nov 2026 05:43:47 +0000\r\n");
}
