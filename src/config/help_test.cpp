// Layout of help and version: spec/command-line.md sections 5 and 6.
#include "config/help.hpp"

#include "base/text.hpp"
#include "config/test_support.hpp"

#include <gmock/gmock.h>

#include <algorithm>
#include <regex>

using namespace config;
using namespace config::testing;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

namespace {

words lines_of(const std::string& text) {
    return base::split(text, '\n');
}

TEST(help, goes_to_stdout_with_exit_code_0) {
    for (const words& given : {words{"--help"}, words{"-h"}, words{"-hv"}, words{"--help", "--verbose"}}) {
        const ending end = ending_of(given);
        EXPECT_EQ(end.exit_code, 0);
        EXPECT_EQ(end.err, "");
        EXPECT_THAT(end.out, StartsWith("E-MailRelay V" EMAILRELAY_VERSION "\n\n"));
        EXPECT_TRUE(end.out.ends_with("\n\nCopyright (c) 2026 the emailrelay authors\n"));
    }
    EXPECT_EQ(ending_of({"-h"}).out, help_text(false, world()));
    EXPECT_EQ(ending_of({"-hv"}).out, help_text(true, world()));
}

TEST(help, abbreviated) {
    const std::string text = help_text(false, world());
    EXPECT_THAT(
        text,
        HasSubstr("\nabbreviated usage: emailrelay [-dvhlrV] [--as-client=<host:port>]\n"
                  "  [--as-proxy=<host:port>] [--spool-dir=<dir>] [--port=<port>] [<config-file>]\n\n"));
    EXPECT_THAT(text,
                HasSubstr("\n\nFor complete usage information run \"emailrelay --help --verbose\"\n\n"));
    EXPECT_THAT(text, HasSubstr("\n  -q, --as-client=<host:port> send "));
    EXPECT_THAT(text, Not(HasSubstr("equivalent")));
    EXPECT_THAT(text, Not(HasSubstr("Basic options")));
    words names;
    for (const std::string& line : lines_of(text))
        if (line.starts_with("  -"))
            names.push_back(line.substr(8, line.find_first_of(" =", 8) - 8));
    EXPECT_EQ(names, (words{"as-client", "as-proxy", "as-server", "spool-dir", "verbose", "help", "log",
                            "port", "remote-clients", "version"}));
}

TEST(help, complete) {
    const std::string text = help_text(true, world());
    EXPECT_THAT(text, HasSubstr("\nusage: emailrelay [-d"));
    EXPECT_THAT(text, HasSubstr("[--syslog[=<facility>]] [<config-file>]\n"));
    EXPECT_THAT(text, HasSubstr("\n      --forward-to-some                   send "));
    std::size_t at = 0;
    for (const char* title : {"Basic options", "SMTP client options", "SMTP server options",
                              "POP server options", "Admin server options", "Authentication options",
                              "TLS options", "Process options", "Logging options"}) {
        const std::size_t found = text.find(std::string("\n\n") + title + "\n", at);
        ASSERT_NE(found, text.npos) << title;
        at = found;
    }
    EXPECT_THAT(text.substr(at), HasSubstr("emailrelay --as-server\n"));
    EXPECT_THAT(text.substr(at), HasSubstr("emailrelay --as-client=smtp.example.com:25\n"));
    EXPECT_THAT(text.substr(at), HasSubstr("emailrelay --as-proxy=smtp.example.com:25 --port=587\n"));
}

TEST(help, shows_every_option_but_hidden_ones_and_those_of_other_systems) {
    const std::string text = help_text(true, world());
    for (const option& row : options()) {
        const bool shown = text.find("--" + std::string(row.name)) != text.npos;
        EXPECT_EQ(shown, row.name != "test" && row.name != "show" && row.name != "hidden") << row.name;
    }
    surroundings windows = world();
    windows.on = platform::windows;
    const std::string other = help_text(true, windows);
    EXPECT_THAT(other, HasSubstr("-H, --hidden"));
    EXPECT_THAT(other, Not(HasSubstr("--user")));
}

TEST(help, complete_descriptions_have_remarks) {
    surroundings wide = world();
    wide.columns = 1000;
    const std::string text = help_text(true, wide);
    EXPECT_THAT(text, HasSubstr("(equivalent to --log --close-stderr)\n"));
    EXPECT_THAT(text, HasSubstr("(requires --forward-to)\n"));
    EXPECT_THAT(text, HasSubstr("(default: 1800)\n"));
}

// Every line of the option list: option at the margin, description in its column, nothing beyond the width.
TEST(help, columns_and_width) {
    for (const unsigned width : {79U, 80U, 100U, 200U}) {
        for (const bool complete : {false, true}) {
            surroundings around = world();
            around.columns = width;
            const std::size_t column = complete ? 42 : 30;
            for (const std::string& line : lines_of(help_text(complete, around))) {
                EXPECT_LE(line.size(), width) << line;
                if (line.starts_with("  -") || line.starts_with("      --")) {
                    ASSERT_GT(line.size(), column) << line;
                    EXPECT_EQ(line[column - 1], ' ') << line;
                    EXPECT_NE(line[column], ' ') << line;
                    EXPECT_EQ(line[6], '-') << line;
                } else if (line.starts_with("       ")) {
                    EXPECT_EQ(line.find_first_not_of(' '), column) << line;
                }
            }
        }
    }
}

TEST(help, follows_the_width) {
    surroundings wide = world();
    wide.columns = 300;
    EXPECT_LT(lines_of(help_text(true, wide)).size(), lines_of(help_text(true, world())).size());
    for (const unsigned width : {0U, 1U, 30U, 42U, 43U}) {
        surroundings narrow = world();
        narrow.columns = width;
        EXPECT_THAT(help_text(true, narrow), HasSubstr("--close-stderr"));
    }
}

TEST(help, shows_the_spool_directory_of_this_build) {
    surroundings around = world();
    around.default_spool_dir = "/srv/mail";
    EXPECT_THAT(help_text(false, around), HasSubstr("/srv/mail"));
    EXPECT_THAT(help_text(false, around), Not(HasSubstr("/var/spool")));
}

TEST(version, plain) {
    const ending end = ending_of({"--version"});
    EXPECT_EQ(end.exit_code, 0);
    EXPECT_EQ(end.err, "");
    EXPECT_THAT(end.out, StartsWith("E-MailRelay V" EMAILRELAY_VERSION "\n\n"
                                    "Copyright (c) 2026 the emailrelay authors\n\n"));
    EXPECT_THAT(end.out, HasSubstr("Apache License"));
    EXPECT_THAT(end.out, HasSubstr("warranty"));
    EXPECT_THAT(end.out, Not(HasSubstr("Multi-threading")));
    EXPECT_EQ(ending_of({"-V"}).out, end.out);
}

bool has_line(const std::string& text, const std::string& pattern) {
    const words lines = lines_of(text);
    return std::any_of(lines.begin(), lines.end(),
                       [&](const std::string& line) { return std::regex_search(line, std::regex(pattern)); });
}

TEST(version, labels_that_scripts_match) {
    surroundings around = world();
    const std::string text = ending_of({"-V", "-v"}, around).out;
    EXPECT_THAT(text,
                HasSubstr("authors\n\nMulti-threading: enabled\nUnix domain sockets: enabled\nPOP server: "));
    EXPECT_TRUE(has_line(text, "threading:.*enabled"));
    EXPECT_TRUE(has_line(text, "Unix domain sockets: enabled"));
    EXPECT_TRUE(has_line(text, "^ *POP.*: (enabled|disabled)$"));
    EXPECT_TRUE(has_line(text, "^ *Admin.*: (enabled|disabled)$"));
    EXPECT_TRUE(has_line(text, "^TLS library: none$"));
    EXPECT_FALSE(has_line(text, "TLS.library:.*[A-Z]"));
    around.tls_library = "OpenSSL 3.0.11";
    const std::string with_tls = ending_of({"-V", "-v"}, around).out;
    EXPECT_TRUE(has_line(with_tls, "^TLS library: OpenSSL 3.0.11$"));
    EXPECT_THAT(ending_of({"-V"}, around).out, HasSubstr("OpenSSL 3.0.11"));
    around.on = platform::windows;
    EXPECT_TRUE(has_line(version_text(true, around), "^Unix domain sockets: disabled$"));
}

TEST(version, labels_follow_the_table) {
    const std::string text = version_text(true, world());
    const auto state = [](known_option name) {
        return std::string(name.row().built == availability::now ? "enabled" : "disabled");
    };
    EXPECT_THAT(text, HasSubstr("\nPOP server: " + state("pop") + "\n"));
    EXPECT_THAT(text, HasSubstr("\nAdmin server: " + state("admin") + "\n"));
}

} // namespace
