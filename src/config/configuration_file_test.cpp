// Lines of a configuration file: spec/command-line.md section 3.3.
#include "config/test_support.hpp"

using namespace config;
using namespace config::testing;

namespace {

instance from_file(const std::string& text) {
    return instance_of({"file"}, world(text));
}

std::string error_from_file(const std::string& text) {
    return ending_of({"file"}, world(text)).err;
}

TEST(configuration_file, separators_and_blanks) {
    for (const char* line : {"port 26", "port=26", "port = 26", "port\t26", "port \t=\t 26", "  \tport 26",
                             "port 26  \t", "port 26\r", "port 26\r\n", "\n\nport 26\n\n", "port= 26"})
        EXPECT_EQ(from_file(line).port, "26") << line;
}

TEST(configuration_file, comments) {
    EXPECT_EQ(from_file("# port 26\n  # port 27\nport 28\n#\n").port, "28");
    EXPECT_EQ(from_file("domain a # b").domain, "a # b");
    EXPECT_EQ(from_file("domain a#b").domain, "a#b");
}

TEST(configuration_file, names_have_no_dashes_but_two_are_forgiven) {
    EXPECT_EQ(from_file("--port 26").port, "26");
    EXPECT_EQ(error_from_file("-port 26"), parse_errors({"invalid option: \"---port\""}));
    EXPECT_EQ(error_from_file("p 26"), parse_errors({"invalid option: \"--p\""}));
    EXPECT_EQ(error_from_file("-p 26"), parse_errors({"invalid option: \"---p\""}));
    EXPECT_EQ(error_from_file("Port 26"), parse_errors({"invalid option: \"--Port\""}));
    EXPECT_EQ(error_from_file("=26"), parse_errors({"invalid option: \"--\""}));
    EXPECT_EQ(error_from_file("gui-theme dark"), parse_errors({"invalid option: \"--gui-theme\""}));
}

TEST(configuration_file, values) {
    EXPECT_EQ(from_file("domain \"a b\"").domain, "a b");
    EXPECT_EQ(from_file("domain \" a \"").domain, " a ");
    EXPECT_EQ(from_file("domain \"a").domain, "\"a");
    EXPECT_EQ(from_file("domain \"").domain, "\"");
    EXPECT_EQ(from_file("domain a\"b\"").domain, "a\"b\"");
    EXPECT_EQ(from_file("domain \"a\\\"").domain, "a\\");
    EXPECT_EQ(from_file("spool-dir -x").spool_dir, "/home/u/-x");
    EXPECT_EQ(from_file("domain a = b").domain, "a = b");
    EXPECT_EQ(from_file("domain = = b").domain, "= b");
}

TEST(configuration_file, an_empty_value_is_none) {
    for (const char* line : {"port", "port=", "port \"\"", "port = \"\"", "port   "})
        EXPECT_EQ(error_from_file(line), parse_errors({"no value supplied for \"--port\""})) << line;
    EXPECT_TRUE(from_file("remote-clients \"\"").remote_clients);
}

TEST(configuration_file, flags_and_optional_values) {
    EXPECT_TRUE(from_file("remote-clients").remote_clients);
    EXPECT_TRUE(from_file("remote-clients yes").remote_clients);
    EXPECT_FALSE(from_file("remote-clients no").remote_clients);
    EXPECT_EQ(error_from_file("log perhaps"), parse_errors({"cannot give a value with \"--log\" (perhaps)"}));
    EXPECT_EQ(configuration_of({"file"}, world("log\nsyslog local1")).whole.syslog_facility, "local1");
    EXPECT_EQ(configuration_of({"file"}, world("log\nverbose\nverbose")).whole.verbose, 2);
}

TEST(configuration_file, counts_as_if_written_on_the_command_line) {
    EXPECT_EQ(ending_of({"--port=26", "file"}, world("port 27")).err,
              parse_errors({"duplicate use of \"--port\""}));
    EXPECT_EQ(ending_of({"-p", "26", "file"}, world("port 27")).err,
              parse_errors({"duplicate use of \"--port\""}));
    EXPECT_EQ(instance_of({"--port=26", "file"}, world("port 26")).port, "26");
    EXPECT_EQ(ending_of({"--log", "file"}, world("log no")).err,
              parse_errors({"conflicting values: \"--log\""}));
    EXPECT_EQ(error_from_file("port 1\nport 2"), parse_errors({"duplicate use of \"--port\""}));
    const instance one = instance_of({"--interface=127.0.0.1", "file"}, world("interface ::1"));
    ASSERT_EQ(one.interfaces.size(), 2U);
    EXPECT_EQ(one.interfaces[1].address, "::1");
}

TEST(configuration_file, pid_file_of_the_command_line_wins) {
    const configuration found = configuration_of({"--pid-file=a.pid", "file"}, world("pid-file /run/b.pid"));
    EXPECT_EQ(found.whole.pid_file, "/home/u/a.pid");
    EXPECT_EQ(found.warnings, words{"more than one --pid-file: using the first"});
}

TEST(configuration_file, help_in_the_file_counts_too) {
    EXPECT_EQ(ending_of({"-v", "file"}, world("help\nnonsense")).exit_code, 0);
}

TEST(configuration_file, unreadable) {
    const ending end = ending_of({"--log", "sub/missing"});
    EXPECT_EQ(end.err, "emailrelay: error: error reading configuration file: sub/missing\n");
    EXPECT_EQ(end.exit_code, 1);
    EXPECT_EQ(ending_of({"@app/missing"}).err,
              "emailrelay: error: error reading configuration file: /opt/app/missing\n");
    surroundings blind = world();
    blind.read_file = nullptr;
    EXPECT_EQ(ending_of({"file"}, blind).exit_code, 1);
}

TEST(configuration_file, path_is_relative_to_the_start_directory_or_to_the_program) {
    surroundings around = world();
    std::string asked;
    around.read_file = [&](const std::string& path) {
        asked = path;
        return std::optional<std::string>("port 26");
    };
    instance_of({"sub/x"}, around);
    EXPECT_EQ(asked, "/home/u/sub/x");
    instance_of({"@app/x"}, around);
    EXPECT_EQ(asked, "/opt/app/x");
    instance_of({"/etc/x"}, around);
    EXPECT_EQ(asked, "/etc/x");
}

TEST(configuration_file, nul_bytes_are_refused) {
    EXPECT_EQ(error_from_file(std::string("port 26\n\0", 9)),
              "emailrelay: error: invalid character in configuration file: file\n");
}

TEST(configuration_file, hostile_text) {
    EXPECT_EQ(from_file("\xef\xbb\xbfport 26").port, "26"); // byte order mark
    EXPECT_EQ(from_file("domain \xff\xfe").domain, "\xff\xfe");
    EXPECT_EQ(error_from_file("\xff\xfe 1"), parse_errors({"invalid option: \"--\xff\xfe\""}));
    EXPECT_EQ(error_from_file("a\x1b[2J 1"), parse_errors({R"(invalid option: "--a\x1b[2J")"}));
    EXPECT_EQ(from_file(std::string(1'000'000, '\n') + "port 26").port, "26");
    EXPECT_EQ(from_file("domain " + std::string(1'000'000, 'd')).domain.size(), 1'000'000U);
    EXPECT_EQ(from_file("").port, "25");
}

} // namespace
