#include "submit/message.hpp"

#include <gmock/gmock.h>

namespace {

using submit::message;
using submit::request;
using testing::ElementsAre;
using testing::IsEmpty;

const submit::stamp when{.now = {.year = 2026,
                                 .month = 11,
                                 .day = 22,
                                 .hour = 5,
                                 .minute = 42,
                                 .second = 58,
                                 .weekday = 0,
                                 .utc_offset = -90},
                         .seconds = 1795326178,
                         .microseconds = 42,
                         .process = 7};

std::vector<message> build(const request& wanted, std::string_view header) {
    auto built = submit::build_messages(wanted, header, when);
    if (built.has_error()) {
        ADD_FAILURE() << built.error().message();
        return {message()};
    }
    return *built;
}

message one(const request& wanted, std::string_view header) {
    auto all = build(wanted, header);
    EXPECT_EQ(all.size(), 1U);
    return all[0];
}

std::string error(const request& wanted, std::string_view header) {
    auto built = submit::build_messages(wanted, header, when);
    return built.has_error() ? built.error().message() : "none";
}

TEST(submit_message, plain) {
    message m = one({.from = "me@x", .to = {"a@b", "c d@e"}}, "Subject: x\r\n");
    EXPECT_EQ(m.header, "Subject: x\r\n\r\n");
    mail::envelope wanted;
    wanted.from = "me@x";
    wanted.to_remote = {"a@b", "c d@e"};
    wanted.client = "127.0.0.1";
    EXPECT_EQ(m.envelope, wanted);
    EXPECT_EQ(one({.from = "me@x"}, "").header, "\r\n");
}

TEST(submit_message, fields_of_the_envelope) {
    message m = one({.from = "",
                     .to = {"a@b"},
                     .authentication = "joe+x",
                     .mail_from_auth_in = "<>",
                     .mail_from_auth_out = "a+2Bb"},
                    "");
    EXPECT_EQ(m.envelope.from, "");
    EXPECT_EQ(m.envelope.authentication, "joe+x");
    EXPECT_EQ(m.envelope.mail_from_auth_in, "<>");
    EXPECT_EQ(m.envelope.mail_from_auth_out, "a+2Bb");
    EXPECT_FALSE(m.envelope.utf8_mailboxes);
    EXPECT_TRUE(one({.from = "jö@x", .to = {"a@b"}}, "").envelope.utf8_mailboxes);
    EXPECT_TRUE(one({.from = "j@x", .to = {"a@b", "a@bü"}}, "").envelope.utf8_mailboxes);
}

TEST(submit_message, sender) {
    const request wanted{.to = {"a@b"}};
    auto sender = [&](std::string_view header) {
        return one(wanted, header).envelope.from;
    };
    EXPECT_EQ(sender("From: Joe <joe@x>\r\nSender: s@x\r\n"), "joe@x");
    EXPECT_EQ(sender("From: joe@x, jim@x\r\nSender: Sue <s@x>\r\n"), "s@x");
    EXPECT_EQ(sender("From: joe@x, jim@x\r\n"), "joe@x");
    EXPECT_EQ(sender("Sender: s@x\r\n"), "s@x");
    EXPECT_EQ(sender("Subject: x\r\n"), "anonymous");
    EXPECT_EQ(sender("From: anonymous:;\r\n"), "anonymous");
    EXPECT_EQ(sender("from : joe@bücher.example\r\n"), "joe@xn--bcher-kva.example");
}

TEST(submit_message, recipients_of_headers) {
    const request wanted{.from = "me@x"};
    auto recipients = [&](std::string_view header) {
        return one(wanted, header).envelope.to_remote;
    };
    EXPECT_THAT(recipients("Bcc: e@f\r\nCc: c@d,\r\n g@h\r\nTo: A: a@b, x@bücher.example;\r\nTo: z@z\r\n"),
                ElementsAre("a@b", "x@xn--bcher-kva.example", "z@z", "c@d", "g@h", "e@f"));
    EXPECT_THAT(recipients("Subject: x\r\n"), IsEmpty());
    EXPECT_THAT(recipients("To:\r\nCc: \r\n"), IsEmpty());
    EXPECT_EQ(one(wanted, "Bcc: a@b\r\n").header, "Bcc: a@b\r\n\r\n");
}

TEST(submit_message, words) {
    EXPECT_THAT(one({.from = "x", .to = {"\\-x", "\\\\y"}}, "").envelope.to_remote, ElementsAre("-x", "\\y"));
    EXPECT_EQ(error({.from = "x", .to = {""}}, ""), "invalid recipient address: []");
    EXPECT_EQ(error({.from = "x", .to = {"\\"}}, ""), "invalid recipient address: []");
    EXPECT_EQ(error({.from = "x", .to = {"a\r\nX-MailRelay-End: 1"}}, ""),
              "invalid recipient address: [a\\r\\nX-MailRelay-End: 1]");
    EXPECT_EQ(error({.from = "x\ny", .to = {"a"}}, ""), "invalid sender address: [x\\ny]");
}

TEST(submit_message, headers_are_read_only_when_they_are_needed) {
    const std::string bad = "X: y\r\nFrom: <\r\nTo: a@b,\r\n ;\r\n";
    EXPECT_EQ(error({.to = {"a"}}, bad), "rfc-5322/6532 parsing error: invalid address-list: line 2");
    EXPECT_EQ(error({.from = "a"}, bad), "rfc-5322/6532 parsing error: invalid address-list: line 4");
    EXPECT_EQ(error({.from = "a", .to = {"b"}}, bad), "none");
}

TEST(submit_message, added_headers) {
    message m = one({.from = "me@x",
                     .to = {"a@b", "c@d"},
                     .add_date = true,
                     .replace_originators = true,
                     .replace_recipients = true,
                     .message_id_domain = "dom"},
                    "Subject: 1\r\nFrom: q\r\n r\r\nX: 2\r\ncc: <<\r\nY: 3\r\nTO: x\r\nSender: s\r\nbcc: "
                    "b\r\n b\r\nZ: 4\r\n");
    EXPECT_EQ(m.header, "To: a@b,c@d\r\nFrom: me@x\r\nMessage-ID: <1795326178.42.7@dom>\r\n"
                        "Date: 22 Nov 2026 05:42:58 -0130\r\nSubject: 1\r\nX: 2\r\nY: 3\r\nZ: 4\r\n\r\n");
    EXPECT_EQ(one({.from = "me@x", .to = {"a"}, .add_date = true, .message_id_domain = "dom"},
                  "DATE: 1\r\nmessage-id: 2\r\n")
                  .header,
              "DATE: 1\r\nmessage-id: 2\r\n\r\n");
}

TEST(submit_message, originators_without_a_sender) {
    EXPECT_EQ(one({.to = {"a"}, .replace_originators = true}, "S: x\r\n").header,
              "From: anonymous:;\r\nS: x\r\n\r\n");
    EXPECT_EQ(one({.from = "", .to = {"a"}, .replace_originators = true}, "From: q\r\n").header,
              "From: anonymous:;\r\n\r\n");
    EXPECT_EQ(one({.to = {"a"}, .replace_originators = true}, "From: q@r, s@t\r\n").header,
              "From: q@r\r\n\r\n");
}

TEST(submit_message, replaced_recipients) {
    EXPECT_EQ(error({.from = "x", .replace_recipients = true}, "To: x:;\r\n"),
              "content-to option used but no envelope-to addresses have been defined");
    EXPECT_EQ(one({.from = "x", .replace_recipients = true}, "Cc: a@b\r\nTo: Q <c@d>\r\n").header,
              "To: c@d,a@b\r\n\r\n");
    const std::vector<std::string> many(100, "somebody.with.a.long.name@example.com");
    const std::string header = one({.from = "x", .to = many, .replace_recipients = true}, "").header;
    for (std::size_t at = 0; at < header.size();) {
        const std::size_t end = header.find("\r\n", at);
        EXPECT_LE(end - at, 998U);
        at = end + 2;
    }
}

TEST(submit_message, bcc_split) {
    const request wanted{.from = "me@x", .bcc_split = true};
    auto all = build(wanted, "To: a@b\r\nBCC: c@d,\r\n e@f\r\nSubject: x\r\nCc: g@h\r\nbcc: i@j\r\n");
    ASSERT_EQ(all.size(), 4U);
    EXPECT_THAT(all[0].envelope.to_remote, ElementsAre("a@b", "g@h"));
    EXPECT_EQ(all[0].header, "To: a@b\r\nSubject: x\r\nCc: g@h\r\n\r\n");
    EXPECT_THAT(all[2].envelope.to_remote, ElementsAre("e@f"));
    EXPECT_EQ(all[2].header, "To: a@b\r\nbcc: e@f\r\nSubject: x\r\nCc: g@h\r\n\r\n");
    EXPECT_THAT(all[3].envelope.to_remote, ElementsAre("i@j"));
    EXPECT_EQ(all[3].envelope.from, "me@x");

    EXPECT_EQ(one(wanted, "To: a@b\r\nBcc: c@d\r\n").header, "To: a@b\r\nBcc: c@d\r\n\r\n")
        << "one Bcc recipient";
    EXPECT_EQ(build(wanted, "Bcc: c@d, e@f\r\n").size(), 2U) << "nobody else";
    EXPECT_EQ(build({.from = "me@x", .to = {"z"}, .bcc_split = true}, "Bcc: c@d, e@f\r\n").size(), 1U);
}

} // namespace
