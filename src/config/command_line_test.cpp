// Words of the command line: spec/command-line.md section 3.1.
#include "config/test_support.hpp"

using namespace config;
using namespace config::testing;

namespace {

TEST(command_line, long_option_with_value_in_either_form) {
    EXPECT_EQ(instance_of({"--port=26"}).port, "26");
    EXPECT_EQ(instance_of({"--port", "26"}).port, "26");
    EXPECT_EQ(instance_of({"--spool-dir=-x"}).spool_dir, "/home/u/-x");
    EXPECT_EQ(instance_of({"--forward-to=a=b:25"}).forward_to, "a=b:25");
}

TEST(command_line, value_in_a_second_word_must_not_begin_with_a_dash) {
    EXPECT_EQ(
        ending_of({"--spool-dir", "-x"}).err,
        parse_errors(
            {R"("--spool-dir -x" is probably a mistake, use "--spool-dir=... -x" or "--spool-dir=-x")"}));
    EXPECT_EQ(ending_of({"--in-port", "--log"}).exit_code, 1);
}

TEST(command_line, letter_with_value_takes_the_next_word_whatever_it_is) {
    EXPECT_EQ(instance_of({"-p", "26"}).port, "26");
    EXPECT_EQ(instance_of({"-s", "-x"}).spool_dir, "/home/u/-x");
    EXPECT_EQ(instance_of({"-s", "--"}).spool_dir, "/home/u/--");
}

// The reference gives -s to --delivery-dir by accident.
TEST(command_line, s_is_the_spool_directory) {
    EXPECT_EQ(instance_of({"-s", "/x"}).spool_dir, "/x");
}

TEST(command_line, flags_take_yes_and_no) {
    for (const char* yes : {"y", "yes", "t", "true", "1", "on", "YES", " On ", "True"})
        EXPECT_TRUE(instance_of({std::string("--remote-clients=") + yes}).remote_clients) << yes;
    for (const char* no : {"n", "no", "f", "false", "0", "off", "NO", " Off "})
        EXPECT_FALSE(instance_of({std::string("--remote-clients=") + no}).remote_clients) << no;
    for (const char* bad : {"", "maybe", "2", "yes!", "yess"})
        EXPECT_EQ(ending_of({std::string("--log=") + bad}).err,
                  parse_errors({std::string("cannot give a value with \"--log\" (") + bad + ")"}))
            << bad;
}

TEST(command_line, a_flag_takes_no_second_word) {
    EXPECT_EQ(ending_of({"--log", "yes"}).err, "emailrelay: error: error reading configuration file: yes\n");
}

TEST(command_line, on_and_off_together_is_a_conflict) {
    const std::string conflict = parse_errors({"conflicting values: \"--verbose\""});
    EXPECT_EQ(ending_of({"--log", "--verbose", "--verbose=no"}).err, conflict);
    EXPECT_EQ(ending_of({"--verbose=no", "-v"}).err, conflict);
    EXPECT_EQ(ending_of({"--syslog=user", "--syslog=no"}).err,
              parse_errors({"conflicting values: \"--syslog\""}));
    EXPECT_FALSE(configuration_of({"--log=no", "--log=off"}).whole.log);
}

TEST(command_line, flags_may_be_bundled) {
    const configuration found = configuration_of({"-ltv"});
    EXPECT_TRUE(found.whole.log);
    EXPECT_FALSE(found.whole.daemon);
    EXPECT_EQ(found.whole.verbose, 1);
    EXPECT_EQ(configuration_of({"-lvv"}).whole.verbose, 2);
    EXPECT_EQ(configuration_of({"-l", "-v", "-v", "--verbose"}).whole.verbose, 2);
    EXPECT_TRUE(configuration_of({"-lnk"}).whole.use_syslog); // an optional value is never in a bundle
}

TEST(command_line, letters_with_values_may_not_be_bundled) {
    EXPECT_EQ(ending_of({"-p25"}).err, parse_errors({"no value supplied for -p"}));
    EXPECT_EQ(ending_of({"-lp", "25"}).err, parse_errors({"no value supplied for -p"}));
    EXPECT_EQ(ending_of({"-p=25"}).err, parse_errors({"no value supplied for -p"}));
}

TEST(command_line, missing_values) {
    EXPECT_EQ(ending_of({"--spool-dir"}).err, parse_errors({"no value supplied for \"--spool-dir\""}));
    EXPECT_EQ(ending_of({"-s"}).err, parse_errors({"no value supplied for -s"}));
    EXPECT_EQ(ending_of({"--in-spool-dir"}).err, parse_errors({"no value supplied for \"--in-spool-dir\""}));
}

TEST(command_line, an_empty_value_is_not_a_missing_one) {
    EXPECT_EQ(instance_of({"--port="}).port, "25");
    EXPECT_EQ(instance_of({"--port", ""}).port, "25");
    EXPECT_EQ(instance_of({"--idle-timeout="}).idle_timeout, 1800U);
    EXPECT_EQ(ending_of({"--domain="}).err,
              "emailrelay: usage error: the --domain value must not be empty\n");
}

TEST(command_line, unknown_options) {
    EXPECT_EQ(ending_of({"--foo"}).err, parse_errors({"invalid option: \"--foo\""}));
    EXPECT_EQ(ending_of({"--foo=bar"}).err, parse_errors({"invalid option: \"--foo\""}));
    EXPECT_EQ(ending_of({"--foo", "bar"}).err, parse_errors({"invalid option: \"--foo\""}));
    EXPECT_EQ(ending_of({"-P"}).err, parse_errors({"invalid option: \"-P\""}));
    EXPECT_EQ(ending_of({"-l3"}).err, parse_errors({"invalid option: \"-3\""}));
    EXPECT_EQ(ending_of({"--LOG"}).err, parse_errors({"invalid option: \"--LOG\""}));
    EXPECT_EQ(ending_of({"--verb"}).err, parse_errors({"invalid option: \"--verb\""})); // no abbreviations
    EXPECT_EQ(ending_of({"--=x"}).err, parse_errors({"invalid option: \"--\""}));
    EXPECT_EQ(ending_of({"--log "}).err, parse_errors({"invalid option: \"--log \""}));
    EXPECT_EQ(ending_of({"---log"}).err, parse_errors({"invalid option: \"---log\""}));
    EXPECT_EQ(ending_of({"--show=window"}).err, parse_errors({"invalid option: \"--show\""}));
    EXPECT_EQ(ending_of({"-H"}).err, parse_errors({"invalid option: \"-H\""}));
    EXPECT_EQ(ending_of({"--gui-spool-dir=/x"}).err, parse_errors({"invalid option: \"--gui-spool-dir\""}));
}

TEST(command_line, repeats) {
    EXPECT_EQ(instance_of({"--port=26", "-p", "26"}).port, "26");
    EXPECT_EQ(ending_of({"--port=26", "--port=27"}).err, parse_errors({"duplicate use of \"--port\""}));
    EXPECT_EQ(ending_of({"-p", "26", "-p", "27"}).err, parse_errors({"duplicate use of \"-p\""}));
    EXPECT_EQ(ending_of({"-p", "26", "--port=27"}).err, parse_errors({"duplicate use of \"--port\""}));
    EXPECT_EQ(ending_of({"--syslog", "--syslog=user"}).err, parse_errors({"duplicate use of \"--syslog\""}));
    EXPECT_EQ(ending_of({"--spool-dir=/a", "--spool-dir=/b"}).err,
              parse_errors({"duplicate use of \"--spool-dir\""}));
    const instance one = instance_of({"-I", "127.0.0.1", "--interface=::1,127.0.0.2"});
    ASSERT_EQ(one.interfaces.size(), 3U);
    EXPECT_EQ(one.interfaces[0].address, "127.0.0.1");
    EXPECT_EQ(one.interfaces[2].address, "127.0.0.2");
}

TEST(command_line, optional_values_come_with_the_sign_only) {
    EXPECT_EQ(configuration_of({"--log", "--syslog"}).whole.syslog_facility, "mail");
    EXPECT_EQ(configuration_of({"--log", "--syslog=yes"}).whole.syslog_facility, "mail");
    EXPECT_EQ(configuration_of({"--log", "--syslog=local3"}).whole.syslog_facility, "local3");
    EXPECT_EQ(configuration_of({"--log", "-k"}).whole.syslog_facility, "mail");
    EXPECT_EQ(ending_of({"--syslog", "user"}).err,
              "emailrelay: error: error reading configuration file: user\n");
    EXPECT_FALSE(configuration_of({"--as-client=h:25", "--syslog=no"}).whole.use_syslog);
}

TEST(command_line, all_errors_are_shown_in_order_and_once) {
    EXPECT_EQ(
        ending_of({"--zzz", "-p", "1", "--port=2", "--aaa=1", "--aaa=2", "--log=x", "-s"}).err,
        parse_errors({"cannot give a value with \"--log\" (x)", "duplicate use of \"--port\"",
                      "invalid option: \"--aaa\"", "invalid option: \"--zzz\"", "no value supplied for -s"}));
    EXPECT_EQ(ending_of({"--zzz"}).exit_code, 1);
    EXPECT_EQ(ending_of({"--zzz"}).out, "");
}

TEST(command_line, the_hint_is_indented_by_the_name_of_the_program) {
    surroundings around = world();
    around.program = "er";
    EXPECT_EQ(ending_of({"--zzz"}, around).err,
              "er: error: invalid option: \"--zzz\"\n    try \"er --help --verbose\" for more information\n");
}

TEST(command_line, first_other_word_is_the_configuration_file_and_the_last_word) {
    EXPECT_EQ(instance_of({"--log", "file"}, world("port 26")).port, "26");
    const std::string surplus =
        std::string("emailrelay: usage error: too many non-option arguments\n") + hint;
    EXPECT_EQ(ending_of({"file", "--log"}).err, surplus);
    EXPECT_EQ(ending_of({"missing", "too"}).err, surplus);
    EXPECT_EQ(ending_of({"file", "x"}, world("nonsense")).err,
              parse_errors({"invalid option: \"--nonsense\""}));
    EXPECT_EQ(ending_of({"file", "x"}).exit_code, 1);
    EXPECT_EQ(ending_of({"-"}).err, "emailrelay: error: error reading configuration file: -\n");
    EXPECT_EQ(ending_of({""}).err, "emailrelay: error: error reading configuration file: \n");
}

// The reference does not find the file behind "--".
TEST(command_line, two_dashes_end_the_options) {
    EXPECT_EQ(instance_of({"--log", "--", "file"}, world("port 26")).port, "26");
    EXPECT_EQ(instance_of({"--log", "--"}).port, "25");
    EXPECT_EQ(ending_of({"--", "--log"}).err, "emailrelay: error: error reading configuration file: --log\n");
    EXPECT_EQ(ending_of({"--", "file", "x"}).exit_code, 1);
}

TEST(command_line, bad_numbers_of_old_options_give_the_default) {
    EXPECT_EQ(instance_of({"--port=abc"}).port, "25");
    EXPECT_EQ(instance_of({"--port=-1"}).port, "25");
    EXPECT_EQ(instance_of({"--port=70000"}).port, "70000"); // the listener says what is wrong
    EXPECT_EQ(instance_of({"--port=0"}).port, "0");
    EXPECT_EQ(instance_of({"--size=1k"}).size_limit, 0U);
    EXPECT_EQ(instance_of({"--size=18446744073709551616"}).size_limit, 0U);
    EXPECT_EQ(instance_of({"--connection-timeout=soon"}).connection_timeout, 40U);
    EXPECT_EQ(instance_of({"--response-timeout=4294967296"}).response_timeout, 1800U);
    EXPECT_EQ(instance_of({"--prompt-timeout= 5"}).prompt_timeout, 20U);
}

TEST(command_line, bad_numbers_of_new_options_are_errors) {
    const auto error = [](const std::string& word) {
        return ending_of({word}).err;
    };
    EXPECT_EQ(error("--max-errors=abc"), "emailrelay: usage error: invalid --max-errors value: \"abc\": "
                                         "use 0 or a number from 1 to 1000000000\n");
    EXPECT_EQ(error("--threads=1025"), "emailrelay: usage error: invalid --threads value: \"1025\": "
                                       "use 0 or a number from 1 to 1024\n");
    EXPECT_EQ(error("--max-command-line=511"),
              "emailrelay: usage error: invalid --max-command-line value: \"511\": "
              "use 0 or a number from 512 to 1073741824\n");
    EXPECT_NE(error("--max-sessions="), "started");
    EXPECT_NE(error("--min-data-rate=-1"), "started");
    EXPECT_NE(error("--command-timeout=99999999999999999999"), "started");
    EXPECT_NE(ending_of({"--in-spool-dir=/a", "--out-spool-dir=/b", "--out-max-errors=x"}).err, "started");
}

TEST(command_line, hostile_words_are_answered_in_one_printable_line) {
    EXPECT_EQ(ending_of({std::string("--a\0b\nc\x1b=x", 10)}).err,
              parse_errors({R"(invalid option: "--a\0b\nc\x1b")"}));
    EXPECT_EQ(ending_of({"-\xff\xfe"}).err, parse_errors({"invalid option: \"-\xff\xfe\""}));
    EXPECT_EQ(ending_of({"-l\xc3\xbc"}).err, parse_errors({"invalid option: \"-\xc3\xbc\""}));
    EXPECT_EQ(ending_of({"-\n"}).err, parse_errors({R"(invalid option: "-\n")"}));
    EXPECT_EQ(ending_of({"a\nb"}).err, "emailrelay: error: error reading configuration file: a\\nb\n");
    EXPECT_EQ(ending_of({"--port", "-\n"}).exit_code, 1);
    const std::string huge(100'000, 'x');
    EXPECT_EQ(ending_of({"--" + huge}).exit_code, 1);
    EXPECT_EQ(instance_of({"--domain=" + huge}).domain.size(), huge.size());
    EXPECT_FALSE(instance_of({"-" + huge}).serve_smtp); // --dont-serve, many times
}

} // namespace
