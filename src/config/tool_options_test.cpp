#include "config/tool_options.hpp"

#include <gmock/gmock.h>

namespace {

using config::value_kind;
using testing::ElementsAre;
using testing::IsEmpty;

constexpr config::option table[] = {
    {.name = "help", .letter = 'h', .text = "show this and end"},
    {.name = "to", .takes = value_kind::list, .placeholder = "<address>", .text = "recipient"},
    {.name = "from", .letter = 'f', .takes = value_kind::one, .placeholder = "<address>", .text = "sender"},
    {.name = "mark",
     .letter = 'm',
     .takes = value_kind::may_follow,
     .placeholder = "<word>",
     .text = "a mark"},
    {.name = "debug", .text = "secret", .hidden = true},
};

auto read(const std::vector<std::string>& words) {
    return config::read_tool_options<table>(words);
}

TEST(tool_options, are_read_by_the_rules_of_the_relay) {
    auto line = read({"-h", "--to=a", "--from", "x", "--to", "b", "--mark=z", "c", "--to=d"});
    EXPECT_THAT(line.errors, IsEmpty());
    EXPECT_TRUE(line.given.has("help"));
    EXPECT_THAT(line.given.values("to"), ElementsAre("a", "b"));
    EXPECT_EQ(line.given.value("from"), "x");
    EXPECT_EQ(line.given.value("mark"), "z");
    EXPECT_THAT(line.words, ElementsAre("c", "--to=d"));
    EXPECT_FALSE(line.given.has("debug"));
}

TEST(tool_options, everything_behind_two_dashes_is_a_word) {
    auto line = read({"-m", "--", "-h", "--", ""});
    EXPECT_TRUE(line.given.has("mark"));
    EXPECT_TRUE(line.given.values("mark").empty());
    EXPECT_THAT(line.words, ElementsAre("-h", "--", ""));
}

TEST(tool_options, have_no_instances) {
    EXPECT_THAT(read({"--in-from=x", "--port", "--port", "-f"}).errors,
                ElementsAre("invalid option: \"--in-from\"", "invalid option: \"--port\"",
                            "no value supplied for -f"));
    EXPECT_THAT(read({"--from=a", "-f", "b", "--help=no", "-h"}).errors,
                ElementsAre("conflicting values: \"--help\"", "duplicate use of \"--from\""));
}

TEST(tool_options, help) {
    EXPECT_EQ(
        config::help_text(config::vocabulary{.rows = table}, {.program = "tool", .words = {"[<x>]"}}, true),
        "E-MailRelay V" EMAILRELAY_VERSION "\n\n"
        "usage: tool [-h] [--to=<address>] [--from=<address>] [--mark[=<word>]] [<x>]\n\n"
        "  -h, --help                              show this and end\n"
        "      --to=<address>                      recipient\n"
        "  -f, --from=<address>                    sender\n"
        "  -m, --mark[=<word>]                     a mark\n\n"
        "Copyright (c) 2026 the emailrelay authors\n");
}

} // namespace
