#include "submit/queue_text.hpp"
#include "submit/sendmail_message.hpp"
#include "submit/sendmail_options.hpp"

#include <gmock/gmock.h>

namespace {

using submit::sendmail_options;
using testing::ElementsAre;
using testing::IsEmpty;
using words = std::vector<std::string>;
using mode = sendmail_options::mode;

sendmail_options read(const words& given, const char* called_as = "sendmail") {
    sendmail_options o = submit::read_sendmail_options(called_as, given);
    EXPECT_FALSE(o.wrong) << o.wrong->text;
    return o;
}

int status(const words& given) {
    sendmail_options o = submit::read_sendmail_options("sendmail", given);
    return o.wrong ? o.wrong->status : 0;
}

TEST(sendmail_options, letters) {
    sendmail_options o = read({"-tif", "me@x", "-Fa b", "a@b", "-t"});
    EXPECT_TRUE(o.recipients_in_header);
    EXPECT_FALSE(o.dot_ends);
    EXPECT_EQ(o.from, "me@x");
    EXPECT_EQ(o.full_name, "a b");
    EXPECT_THAT(o.recipients, ElementsAre("a@b", "-t"));
    EXPECT_FALSE(read({}).from);
    EXPECT_TRUE(read({}).dot_ends);
    EXPECT_EQ(read({"-f", ""}).from, "");
    EXPECT_EQ(read({"-f<>"}).from, "");
    EXPECT_EQ(read({"-r", "Joe <me@x>"}).from, "me@x");
    EXPECT_THAT(read({"--", "-x"}).recipients, ElementsAre("-x"));
    EXPECT_THAT(read({"-d", "a", "-Q"}).recipients, ElementsAre("a", "-Q")) << "-d takes no word";
}

TEST(sendmail_options, modes) {
    EXPECT_EQ(read({}).what, mode::deliver);
    EXPECT_EQ(read({"-bs"}).what, mode::smtp);
    EXPECT_EQ(read({"-b", "p"}).what, mode::list_queue);
    EXPECT_EQ(read({"-bi"}).what, mode::aliases);
    EXPECT_EQ(read({"-I"}).what, mode::aliases);
    EXPECT_EQ(read({}, "mailq").what, mode::list_queue);
    EXPECT_EQ(read({}, "newaliases").what, mode::aliases);
}

TEST(sendmail_options, options_with_names) {
    EXPECT_FALSE(read({"-oi"}).dot_ends);
    EXPECT_FALSE(read({"-o", "i"}).dot_ends);
    EXPECT_FALSE(read({"-O", "IgnoreDots = True"}).dot_ends);
    EXPECT_TRUE(read({"-oi", "-OIgnoreDots=False"}).dot_ends);
    EXPECT_EQ(read({"-oQ/x"}).spool_dir, "/x");
    EXPECT_EQ(read({"-OQueueDirectory=/x"}).spool_dir, "/x");
    EXPECT_EQ(read({"-O", "queuedirectory"}).spool_dir, "");
    EXPECT_EQ(read({"-B8bitmime"}).body, mail::body_type::eight_bit);
}

TEST(sendmail_options, mistakes) {
    EXPECT_EQ(status({"-Z"}), 64);
    EXPECT_EQ(status({"-\xff"}), 64);
    EXPECT_EQ(status({"--help"}), 64);
    EXPECT_EQ(status({"-o"}), 64);
    EXPECT_EQ(status({"-bt"}), 64);
    EXPECT_EQ(status({"-R", "x"}), 64);
    EXPECT_EQ(status({"-V", "a+b"}), 64);
    EXPECT_EQ(status({"-N", "never,success"}), 64);
    EXPECT_EQ(status({"-B", "BINARYMIME"}), 64);
    EXPECT_EQ(status({"-q15m"}), 69);
    EXPECT_EQ(status({"-f", "a@b, c@d"}), 65);
    EXPECT_EQ(status({""}), 65);
    EXPECT_EQ(status({"a@b", "x\r\ny: z"}), 65);
}

const submit::stamp when{
    .now = {.year = 2026, .month = 11, .day = 2, .hour = 5}, .seconds = 1, .microseconds = 2, .process = 3};

struct asked {
    int times = 0;
    submit::sendmail_caller caller{.login = "joe", .full_name = "Joe", .mail_domain = [this] {
                                       ++times;
                                       return std::string("here");
                                   }};
};

submit::message build(const words& options, std::string_view header, asked& a) {
    auto made = submit::build_sendmail_message(read(options), a.caller, header, when);
    if (made.has_error()) {
        ADD_FAILURE() << made.error().message();
        return {};
    }
    return *made;
}

TEST(sendmail_message, the_name_of_the_host_is_asked_for_only_when_it_is_needed) {
    asked a;
    EXPECT_EQ(build({"-f", "me@x", "a@b"}, "From: f\r\nDate: d\r\nMessage-Id: m\r\n", a).envelope.from,
              "me@x");
    a.caller.login = "joe@z";
    build({"a@b"}, "", a);
    EXPECT_EQ(a.times, 0);
    EXPECT_THAT(build({"b"}, "", a).envelope.to_remote, ElementsAre("b@here"));
    EXPECT_EQ(a.times, 1);
}

TEST(sendmail_message, header) {
    asked a;
    EXPECT_EQ(build({"-f", "", "x"}, "Subject: s\r\nBCC: h\r\n i\r\nReturn-path: <q>\r\n", a).header,
              "From: Joe <joe@here>\r\nDate: Thu, 2 Nov 2026 05:00:00 +0000\r\nMessage-ID: "
              "<1.2.3@here>\r\nSubject: s\r\n\r\n");
    EXPECT_EQ(submit::build_sendmail_message(read({"-t"}), a.caller, "To: :;\r\n", when).error().message(),
              "rfc-5322/6532 parsing error: invalid address-list: line 1");
    EXPECT_EQ(submit::build_sendmail_message(read({"-t"}), a.caller, "To: x:;\r\n", when).error().message(),
              "no recipients in the headers");
}

TEST(sendmail_message, a_local_part_may_have_an_at_sign_in_quotes) {
    auto here = [] {
        return std::string("here");
    };
    EXPECT_EQ(submit::with_domain("\"a@b\"", here), "\"a@b\"@here");
    EXPECT_EQ(submit::with_domain("\"a@b\"@c", here), "\"a@b\"@c");
    EXPECT_EQ(submit::with_domain("", here), "");
}

TEST(queue_text, empty) {
    EXPECT_EQ(submit::queue_text({}), "Mail queue is empty\n");
}

TEST(queue_text, nothing_of_others_reaches_the_terminal) {
    const std::string text =
        submit::queue_text({{.id = "a\x1b", .sender = "b\x1b", .recipients = {"c\x1b"}, .reason = "d\x1b"}});
    EXPECT_EQ(text.find('\x1b'), text.npos);
}

} // namespace
