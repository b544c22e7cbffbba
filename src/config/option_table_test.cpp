#include "config/option_table.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>
#include <string>

namespace {

using config::option;
using config::options;
using config::platform;
using config::value_kind;

// spec/command-line.md section 1: name, letter, value.
struct known {
    const char* name;
    char letter;
    const char* value;
};
constexpr known reference_options[] = {
    {"as-client", 'q', "V"},
    {"as-proxy", 'y', "V"},
    {"as-server", 'd', "-"},
    {"spool-dir", 's', "V"},
    {"help", 'h', "-"},
    {"version", 'V', "-"},
    {"forward-to", 'o', "V"},
    {"forward", 'f', "-"},
    {"forward-on-disconnect", '1', "-"},
    {"poll", 'O', "V"},
    {"immediate", 'm', "-"},
    {"forward-to-all", 0, "-"},
    {"forward-to-some", 0, "-"},
    {"client-filter", 'Y', "V*"},
    {"client-interface", '6', "V"},
    {"connection-timeout", 'U', "V"},
    {"response-timeout", 'T', "V"},
    {"idle-timeout", 0, "V"},
    {"client-smtp-config", 'c', "V*"},
    {"port", 'p', "V"},
    {"interface", 'I', "V*"},
    {"remote-clients", 'r', "-"},
    {"domain", 'D', "V"},
    {"size", 'M', "V"},
    {"anonymous", 'A', "[V]"},
    {"filter", 'z', "V*"},
    {"filter-timeout", 'W', "V"},
    {"address-verifier", 0, "V"},
    {"dnsbl", 0, "V*"},
    {"delivery-dir", 0, "V"},
    {"prompt-timeout", 'w', "V"},
    {"server-smtp-config", 'Z', "V*"},
    {"pop", 'B', "-"},
    {"pop-port", 'E', "V"},
    {"pop-auth", 'F', "V"},
    {"pop-by-name", 'J', "-"},
    {"pop-no-delete", 'G', "-"},
    {"admin", 'a', "V"},
    {"admin-terminate", 'Q', "-"},
    {"server-auth", 'S', "V"},
    {"server-auth-config", 0, "V"},
    {"client-auth", 'C', "V"},
    {"client-auth-config", 0, "V"},
    {"server-tls", 'K', "-"},
    {"server-tls-connection", 0, "-"},
    {"server-tls-required", 0, "-"},
    {"server-tls-certificate", 0, "V*"},
    {"server-tls-verify", 0, "V"},
    {"client-tls", 'j', "-"},
    {"client-tls-connection", 'b', "-"},
    {"client-tls-required", 0, "-"},
    {"client-tls-certificate", 0, "V*"},
    {"client-tls-verify", 0, "V"},
    {"client-tls-verify-name", 0, "V"},
    {"client-tls-server-name", 0, "V"},
    {"tls-config", '9', "V*"},
    {"dont-serve", 'x', "-"},
    {"no-smtp", 'X', "-"},
    {"no-daemon", 't', "-"},
    {"pid-file", 'i', "V*"},
    {"user", 'u', "V"},
    {"localedir", 0, "V"},
    {"hidden", 'H', "-"},
    {"show", 0, "V"},
    {"log", 'l', "-"},
    {"verbose", 'v', "-"},
    {"debug", 'g', "-"},
    {"log-time", 'L', "-"},
    {"log-address", 0, "-"},
    {"log-format", 0, "V*"},
    {"log-file", 'N', "V"},
    {"no-syslog", 'n', "-"},
    {"syslog", 'k', "[V]"},
    {"close-stderr", 'e', "-"},
    {"test", 0, "V"},
};

const char* value_text(value_kind takes) {
    switch (takes) {
    case value_kind::none:
        return "-";
    case value_kind::one:
        return "V";
    case value_kind::list:
        return "V*";
    case value_kind::may_follow:
        return "[V]";
    }
    return "";
}

const option* row_of(std::string_view name) {
    for (const option& row : options())
        if (row.name == name)
            return &row;
    return nullptr;
}

TEST(option_table, has_every_option_of_the_reference_with_its_letter_and_value) {
    for (const known& expected : reference_options) {
        const option* row = row_of(expected.name);
        ASSERT_TRUE(row) << expected.name;
        EXPECT_EQ(row->letter, expected.letter) << expected.name;
        EXPECT_STREQ(value_text(row->takes), expected.value) << expected.name;
    }
}

TEST(option_table, options_that_are_new_have_no_letter) {
    std::set<std::string_view> known_names;
    for (const known& expected : reference_options)
        known_names.insert(expected.name);
    std::set<std::string_view> new_names;
    for (const option& row : options()) {
        if (known_names.contains(row.name))
            continue;
        new_names.insert(row.name);
        EXPECT_EQ(row.letter, 0) << row.name;
        EXPECT_EQ(row.takes == value_kind::one, row.checked_number.has_value()) << row.name;
    }
    EXPECT_EQ(new_names, (std::set<std::string_view>{"threads",
                                                     "check-config",
                                                     "env",
                                                     "no-sync",
                                                     "no-sandbox",
                                                     "max-sessions",
                                                     "max-sessions-per-address",
                                                     "max-command-line",
                                                     "max-auth-line",
                                                     "max-recipients",
                                                     "max-hops",
                                                     "max-errors",
                                                     "max-other-errors",
                                                     "max-idle-commands",
                                                     "command-timeout",
                                                     "min-data-rate",
                                                     "max-pending-replies",
                                                     "max-response-line",
                                                     "max-response-lines",
                                                     "pop-tls-connection",
                                                     "forward-connections"}));
}

TEST(option_table, names_and_letters_are_unique) {
    std::set<std::string_view> names;
    std::set<char> letters;
    for (const option& row : options()) {
        EXPECT_TRUE(names.insert(row.name).second) << row.name;
        EXPECT_TRUE(row.letter == 0 || letters.insert(row.letter).second) << row.letter;
    }
}

TEST(option_table, rows_are_complete) {
    for (const option& row : options()) {
        EXPECT_FALSE(row.text.empty()) << row.name;
        EXPECT_FALSE(row.text.ends_with('.')) << row.name;
        EXPECT_EQ(row.placeholder.empty(), row.takes == value_kind::none) << row.name;
        EXPECT_EQ(row.name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-_"), row.name.npos);
        // The column of descriptions in the complete help.
        EXPECT_LT(config::shape(row).size() + 6, 42U) << row.name;
    }
}

// Otherwise "in-x" of an instance "in" would be an option of its own.
TEST(option_table, process_wide_options_are_those_of_the_specification) {
    std::set<std::string_view> whole;
    for (const option& row : options())
        if (row.belongs_to == config::scope::whole_process)
            whole.insert(row.name);
    EXPECT_EQ(whole,
              (std::set<std::string_view>{"log",        "verbose",      "debug",  "log-time",  "log-address",
                                          "log-format", "log-file",     "syslog", "no-syslog", "close-stderr",
                                          "no-daemon",  "pid-file",     "user",   "localedir", "tls-config",
                                          "show",       "hidden",       "help",   "version",   "test",
                                          "threads",    "check-config", "env",    "no-sandbox"}));
}

TEST(option_table, windows_options_are_unknown_elsewhere) {
    EXPECT_FALSE(config::relay_vocabulary(platform::posix).find("show"));
    EXPECT_FALSE(config::relay_vocabulary(platform::posix).find("hidden"));
    EXPECT_FALSE(config::relay_vocabulary(platform::posix).find('H'));
    EXPECT_TRUE(config::relay_vocabulary(platform::windows).find("show"));
    EXPECT_FALSE(config::relay_vocabulary(platform::windows).find("user"));
    EXPECT_TRUE(config::relay_vocabulary(platform::posix).find('u'));
    EXPECT_FALSE(config::relay_vocabulary(platform::posix).find('\0'));
}

TEST(option_table, shape_and_description) {
    EXPECT_EQ(config::shape(*row_of("log")), "--log");
    EXPECT_EQ(config::shape(*row_of("port")), "--port=<port>");
    EXPECT_EQ(config::shape(*row_of("syslog")), "--syslog[=<facility>]");
    EXPECT_EQ(config::description(*row_of("port"), true), "port for SMTP clients (default: 25)");
    const option row{.name = "x",
                     .text = "do x",
                     .normally = "1",
                     .equivalent_to = "--y",
                     .needs = "--z",
                     .built = config::availability::later};
    EXPECT_EQ(config::description(row, false), "do x (default: 1)");
    EXPECT_EQ(config::description(row, true),
              "do x (default: 1) (equivalent to --y) (requires --z) (not available in this build yet)");
}

// The documents of the reference say 60, it does 1800 (section 1.9).
TEST(option_table, real_defaults_are_shown) {
    EXPECT_EQ(row_of("response-timeout")->normally, "1800");
    EXPECT_EQ(row_of("idle-timeout")->normally, "1800");
}

} // namespace
