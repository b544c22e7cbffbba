#include "submit/submit_options.hpp"

#include <gmock/gmock.h>

namespace {

using config::ending;
using submit::submit_options;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using words = std::vector<std::string>;

submit_options read(const words& given) {
    auto found = submit::read_submit_options(given, 79, "/spool");
    if (auto* end = std::get_if<ending>(&found)) {
        ADD_FAILURE() << end->err << end->out;
        return {};
    }
    return std::get<submit_options>(found);
}

ending end(const words& given) {
    auto found = submit::read_submit_options(given, 79, "/spool");
    if (auto* e = std::get_if<ending>(&found))
        return *e;
    ADD_FAILURE() << "no end";
    return {.exit_code = -1};
}

TEST(submit_options, nothing) {
    submit_options o = read({});
    EXPECT_EQ(o.spool_dir, "/spool");
    EXPECT_EQ(o.show, submit::shown::nothing);
    EXPECT_TRUE(o.read_input);
    EXPECT_FALSE(o.wanted.from);
    EXPECT_THAT(o.wanted.to, IsEmpty());
    EXPECT_FALSE(o.wanted.message_id_domain);
}

TEST(submit_options, all) {
    submit_options o =
        read({"-v", "-n", "-s", "x",  "-f", "me",  "--to=a", "--to", "b",  "-B", "-N",      "-d", "-I",
              "-F", "-t", "-b", "-c", "-a", "who", "-i",     "a=b",  "-o", "c",  "--debug", "w",  "-x"});
    EXPECT_EQ(o.show, submit::shown::path);
    EXPECT_EQ(o.spool_dir, "x");
    EXPECT_EQ(o.wanted.from, "me");
    EXPECT_THAT(o.wanted.to, ElementsAre("w", "-x", "a", "b"));
    EXPECT_TRUE(o.body_only && o.copy && !o.read_input);
    EXPECT_TRUE(o.wanted.add_date && o.wanted.replace_originators && o.wanted.replace_recipients &&
                o.wanted.bcc_split);
    EXPECT_EQ(o.wanted.message_id_domain, "local");
    EXPECT_EQ(o.wanted.authentication, "who");
    EXPECT_EQ(o.wanted.mail_from_auth_in, "a+3Db");
    EXPECT_EQ(o.wanted.mail_from_auth_out, "c");
    EXPECT_EQ(read({"-n"}).show, submit::shown::base_name);
    EXPECT_EQ(read({"-x", "f"}).input_file, "f");
    EXPECT_THAT(read({"--", "--from=x"}).wanted.to, ElementsAre("--from=x"));
}

TEST(submit_options, values) {
    EXPECT_EQ(read({"--from="}).wanted.from, "");
    EXPECT_EQ(read({"--from-auth-in="}).wanted.mail_from_auth_in, "<>");
    EXPECT_EQ(read({"--from-auth-out="}).wanted.mail_from_auth_out, "<>");
    EXPECT_EQ(read({"--content-message-id"}).wanted.message_id_domain, "local");
    EXPECT_EQ(read({"--content-message-id="}).wanted.message_id_domain, "local");
    EXPECT_EQ(read({"--content-message-id=a.b"}).wanted.message_id_domain, "a.b");
    EXPECT_EQ(end({"--content-message-id=a\r\nb"}).err,
              "emailrelay-submit: invalid message-id domain: [a\\r\\nb]\n");
}

TEST(submit_options, content) {
    EXPECT_EQ(read({"--content=QTogYg==", "--content", "=", "-C", "aGk=", "--content="}).content_lines,
              "A: b\n\nhi\n\n");
    EXPECT_EQ(end({"--content=!!!!"}).err, "emailrelay-submit: base64 encoding error\n");
    EXPECT_EQ(end({"--content=!!!!"}).exit_code, 1);
}

TEST(submit_options, endings) {
    EXPECT_EQ(end({"-V"}).out, EMAILRELAY_VERSION "\n");
    EXPECT_EQ(end({"--foo", "-z", "--version"}).err, "emailrelay-submit: error: invalid option: \"--foo\"\n"
                                                     "emailrelay-submit: error: invalid option: \"-z\"\n");
    EXPECT_EQ(end({"--foo"}).exit_code, 1);
    EXPECT_EQ(end({"-f", "a", "-f", "b"}).err, "emailrelay-submit: error: duplicate use of \"-f\"\n");
    const ending brief = end({"--foo", "-h"});
    EXPECT_EQ(brief.exit_code, 0);
    EXPECT_THAT(brief.out, HasSubstr("usage: emailrelay-submit ["));
    EXPECT_THAT(brief.out, HasSubstr("default: /spool"));
    EXPECT_THAT(end({"-hv"}).out, HasSubstr("--bcc-split"));
    EXPECT_THAT(end({"-hv"}).out, Not(HasSubstr("--debug")));
}

} // namespace
