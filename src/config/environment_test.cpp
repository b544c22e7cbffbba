#include "config/test_support.hpp"

#include <gmock/gmock.h>

using namespace config;
using namespace config::testing;

namespace {

using variables = std::map<std::string, std::string>;

surroundings world_with(const variables& all, std::string file_text = "") {
    surroundings around = world(std::move(file_text));
    around.variable = [all](const std::string& name) {
        const auto found = all.find(name);
        return found == all.end() ? std::nullopt : std::optional(found->second);
    };
    around.read_file = [read = around.read_file](const std::string& path) {
        return path == "/run/secrets/port" ? std::optional<std::string>("2526\r\n") : read(path);
    };
    return around;
}

TEST(environment, is_not_read_without_the_option) {
    EXPECT_EQ(instance_of({}, world_with({{"EMAILRELAY_PORT", "2525"}})).port, "25");
}

TEST(environment, gives_options_of_each_kind) {
    const configuration found =
        configuration_of({"--env"}, world_with({{"EMAILRELAY_PORT", "2525"},
                                                {"EMAILRELAY_LOG", "yes"},
                                                {"EMAILRELAY_REMOTE_CLIENTS", "1"},
                                                {"EMAILRELAY_SYSLOG", "local3"},
                                                {"EMAILRELAY_INTERFACE", "::1,127.0.0.1"},
                                                {"EMAILRELAY_SPOOL_DIR", "spool"},
                                                {"EMAILRELAY_SERVER_SMTP_CONFIG", "+chunking"}}));
    const instance& one = found.instances.front();
    EXPECT_EQ(one.port, "2525");
    EXPECT_TRUE(found.whole.log);
    EXPECT_TRUE(one.remote_clients);
    EXPECT_EQ(found.whole.syslog_facility, "local3");
    EXPECT_EQ(one.interfaces.size(), 2U);
    EXPECT_EQ(one.spool_dir, "/home/u/spool");
    EXPECT_TRUE(one.server_smtp.chunking);
}

TEST(environment, comes_after_the_command_line_and_the_file) {
    const variables all{
        {"EMAILRELAY_PORT", "1"}, {"EMAILRELAY_SIZE", "2"}, {"EMAILRELAY_DOMAIN", "from.environment"}};
    const instance one = instance_of({"--port=11", "file"}, world_with(all, "env\nsize 12\n"));
    EXPECT_EQ(one.port, "11");
    EXPECT_EQ(one.size_limit, 12U);
    EXPECT_EQ(one.domain, "from.environment");
}

TEST(environment, an_option_switched_off_stays_off) {
    EXPECT_FALSE(configuration_of({"--env", "--log=no"}, world_with({{"EMAILRELAY_LOG", "1"}})).whole.log);
    EXPECT_FALSE(configuration_of({"--env"}, world_with({{"EMAILRELAY_LOG", "no"}})).whole.log);
}

TEST(environment, an_empty_variable_is_none) {
    EXPECT_EQ(ending_of({"--env"}, world_with({{"EMAILRELAY_DOMAIN", ""},
                                               {"EMAILRELAY_LOG", ""},
                                               {"EMAILRELAY_PORT_FILE", ""}}))
                  .err,
              "started");
}

TEST(environment, what_is_no_option_is_passed_over) {
    const variables all{{"EMAILRELAY_FOO", "1"},
                        {"EMAILRELAY_HELP", "1"},
                        {"EMAILRELAY_VERSION", "1"},
                        {"EMAILRELAY_SHOW", "tray"}};
    EXPECT_EQ(ending_of({"--env"}, world_with(all)).err, "started");
}

TEST(environment, places_of_services_are_passed_over) {
    for (const char* place : {"tcp://10.96.0.5:10025", "udp://10.96.0.5:10025"}) {
        const config::instance one = instance_of({"--env", "--pop", "--pop-auth=/x/pop"},
                                                 world_with({{"EMAILRELAY_PORT", place},
                                                             {"EMAILRELAY_PORT_10025_TCP", place},
                                                             {"EMAILRELAY_POP_PORT", place},
                                                             {"EMAILRELAY_POP_SERVICE_HOST", "10.96.0.5"}}));
        EXPECT_EQ(one.port, "25");
        EXPECT_EQ(one.pop->port, "110");
        EXPECT_EQ(instance_of({"--env"}, world_with({{"EMAILRELAY_PORT", place},
                                                     {"EMAILRELAY_PORT_FILE", "/run/secrets/port"}}))
                      .port,
                  "2526");
    }
}

TEST(environment, a_file_may_hold_the_value) {
    EXPECT_EQ(instance_of({"--env"}, world_with({{"EMAILRELAY_PORT_FILE", "/run/secrets/port"}})).port,
              "2526");
    EXPECT_EQ(ending_of({"--env"}, world_with({{"EMAILRELAY_PORT_FILE", "/nowhere"}})).err,
              parse_errors({"cannot read the file of EMAILRELAY_PORT_FILE: /nowhere"}));
    EXPECT_EQ(ending_of({"--env"}, world_with({{"EMAILRELAY_PORT_FILE", "/run/secrets/port"},
                                               {"EMAILRELAY_PORT", "25"}}))
                  .err,
              parse_errors({"EMAILRELAY_PORT and EMAILRELAY_PORT_FILE cannot be used together"}));
}

TEST(environment, an_option_that_ends_in_file_is_that_option) {
    const configuration found = configuration_of({"--env"}, world_with({{"EMAILRELAY_LOG_FILE", "/x/log"},
                                                                        {"EMAILRELAY_LOG", "1"},
                                                                        {"EMAILRELAY_PID_FILE", "/x/pid"}}));
    EXPECT_EQ(found.whole.log_file, "/x/log");
    EXPECT_EQ(found.whole.pid_file, "/x/pid");
}

TEST(environment, belongs_to_the_first_instance) {
    const words given{"--env", "--a-spool-dir=/a", "--b-spool-dir=/b", "--b-port=27"};
    const configuration found =
        configuration_of(given, world_with({{"EMAILRELAY_PORT", "26"}, {"EMAILRELAY_SPOOL_DIR", "/c"}}));
    ASSERT_EQ(found.instances.size(), 2U);
    EXPECT_EQ(found.instances[0].port, "26");
    EXPECT_EQ(found.instances[1].port, "27");
    const words other{"--env", "--a-spool-dir=/a", "--a-port=28"};
    EXPECT_EQ(instance_of(other, world_with({{"EMAILRELAY_PORT", "26"}})).port, "28");
}

TEST(environment, errors_are_those_of_the_option) {
    EXPECT_EQ(ending_of({"--env"}, world_with({{"EMAILRELAY_LOG", "maybe"}})).err,
              parse_errors({R"(cannot give a value with "--log" (maybe))"}));
    EXPECT_EQ(ending_of({"--env"}, world_with({{"EMAILRELAY_POLL", "x"}})).exit_code, 1);
}

TEST(locale_directory, is_found_before_anything_else_is_judged) {
    EXPECT_EQ(find_locale_directory({"--nonsense", "--localedir=/x", "--port"}, world()), "/x");
    EXPECT_EQ(find_locale_directory({"--localedir", "x", "a", "b"}, world()), "/home/u/x");
    EXPECT_EQ(find_locale_directory({"--localedir="}, world()), "/usr/share/locale");
    EXPECT_EQ(find_locale_directory({"--port=25"}, world()), std::nullopt);
    EXPECT_EQ(find_locale_directory({"--localedir"}, world()), std::nullopt);
    EXPECT_EQ(find_locale_directory({"file"}, world("localedir /y\n")), "/y");
    EXPECT_EQ(find_locale_directory({"--env"}, world_with({{"EMAILRELAY_LOCALEDIR", "/z"}})), "/z");
}

} // namespace
