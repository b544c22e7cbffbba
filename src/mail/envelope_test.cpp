#include "mail/envelope.hpp"

#include <gtest/gtest.h>

namespace {

mail::envelope typical() {
    mail::envelope e;
    e.from = "a@b";
    e.to_remote = {"x@y", "y@z", "x@y"};
    e.client = "127.0.0.1";
    return e;
}

} // namespace

TEST(envelope_format, as_the_spec_shows) {
    EXPECT_EQ(mail::format_envelope(typical()), "X-MailRelay-Format: #2821.8\r\n"
                                                "X-MailRelay-Content: unknown\r\n"
                                                "X-MailRelay-From: a@b\r\n"
                                                "X-MailRelay-ToCount: 3\r\n"
                                                "X-MailRelay-To-Remote: x@y\r\n"
                                                "X-MailRelay-To-Remote: y@z\r\n"
                                                "X-MailRelay-To-Remote: x@y\r\n"
                                                "X-MailRelay-Authentication: \r\n"
                                                "X-MailRelay-Client: 127.0.0.1\r\n"
                                                "X-MailRelay-ClientCertificate: \r\n"
                                                "X-MailRelay-MailFromAuthIn: \r\n"
                                                "X-MailRelay-MailFromAuthOut: \r\n"
                                                "X-MailRelay-ForwardTo: \r\n"
                                                "X-MailRelay-ForwardToAddress: \r\n"
                                                "X-MailRelay-ClientAccountSelector: \r\n"
                                                "X-MailRelay-Utf8MailboxNames: 0\r\n"
                                                "X-MailRelay-End: 1\r\n");
}

TEST(envelope_parse, reads_what_was_written) {
    auto parsed = mail::parse_envelope(mail::format_envelope(typical()));
    ASSERT_TRUE(parsed) << parsed.error().message();
    EXPECT_EQ(parsed->value, typical());
    EXPECT_TRUE(parsed->crlf);
    EXPECT_TRUE(parsed->extra.empty());
}
