// Several relays in one process: spec/command-line.md section 3.4.
#include "config/test_support.hpp"

using namespace config;
using namespace config::testing;

namespace {

TEST(instances, one_nameless_instance_without_any_spool_directory) {
    const configuration found = configuration_of({});
    ASSERT_EQ(found.instances.size(), 1U);
    EXPECT_EQ(found.instances[0].name, "");
    EXPECT_EQ(found.instances[0].spool_dir, "/var/spool/emailrelay");
}

TEST(instances, each_prefixed_spool_directory_makes_one_in_order_of_appearance) {
    const configuration found =
        configuration_of({"--out-port=27", "--in-spool-dir=/in", "--in-port", "26", "file"},
                         world("out-spool-dir /out\nout-remote-clients"));
    ASSERT_EQ(found.instances.size(), 2U);
    EXPECT_EQ(found.instances[0].name, "in");
    EXPECT_EQ(found.instances[0].spool_dir, "/in");
    EXPECT_EQ(found.instances[0].port, "26");
    EXPECT_FALSE(found.instances[0].remote_clients);
    EXPECT_EQ(found.instances[1].name, "out");
    EXPECT_EQ(found.instances[1].spool_dir, "/out");
    EXPECT_EQ(found.instances[1].port, "27");
    EXPECT_TRUE(found.instances[1].remote_clients);
}

TEST(instances, an_unprefixed_spool_directory_makes_the_nameless_one) {
    const configuration found = configuration_of({"--in-spool-dir=/in", "--spool-dir=/x", "--port=26"});
    ASSERT_EQ(found.instances.size(), 2U);
    EXPECT_EQ(found.instances[0].port, "26"); // unprefixed options belong to the first
    EXPECT_EQ(found.instances[1].name, "");
    EXPECT_EQ(found.instances[1].spool_dir, "/x");
    EXPECT_EQ(found.instances[1].port, "25");
    EXPECT_EQ(configuration_of({"-s", "/x", "--in-spool-dir=/in", "--port=26"}).instances[1].port, "25");
}

TEST(instances, unprefixed_and_first_prefix_are_the_same) {
    EXPECT_EQ(ending_of({"--in-spool-dir=/in", "--in-port=26", "--port=27"}).err,
              parse_errors({"duplicate use of \"--in-port\""}));
    EXPECT_EQ(instance_of({"--in-spool-dir=/in", "--in-port=26", "--port=26"}).port, "26");
    EXPECT_EQ(ending_of({"--in-spool-dir=/in", "--in-forward=no", "--forward"}).err,
              parse_errors({"conflicting values: \"--in-forward\""}));
    const instance one = instance_of({"--in-spool-dir=/in", "--in-interface=::1", "-I", "127.0.0.1"});
    EXPECT_EQ(one.interfaces.size(), 2U);
    // The second one is on its own.
    EXPECT_EQ(configuration_of({"--in-spool-dir=/in", "--out-spool-dir=/out", "--out-port=26", "--port=27"})
                  .instances[1]
                  .port,
              "26");
}

TEST(instances, a_prefix_without_its_spool_directory_is_an_invalid_option) {
    EXPECT_EQ(ending_of({"--foo-port=25"}).err, parse_errors({"invalid option: \"--foo-port\""}));
    EXPECT_EQ(ending_of({"--in-spool-dir=/in", "--foo-log", "--foo-port", "25"}).err,
              parse_errors({"invalid option: \"--foo-log\"", "invalid option: \"--foo-port\""}));
    EXPECT_EQ(ending_of({"--a-b-spool-dir=/x"}).err, parse_errors({"invalid option: \"--a-b-spool-dir\""}));
    EXPECT_EQ(ending_of({"--In-spool-dir=/x"}).err, parse_errors({"invalid option: \"--In-spool-dir\""}));
    EXPECT_EQ(ending_of({"--in-spool-dir=/in", "--in-foo"}).err,
              parse_errors({"invalid option: \"--in-foo\""}));
}

TEST(instances, one_prefix_with_two_directories_makes_two) {
    const configuration found =
        configuration_of({"--in-spool-dir=/a", "--in-spool-dir=/b", "--in-spool-dir=/a", "--in-port=26"});
    ASSERT_EQ(found.instances.size(), 2U);
    EXPECT_EQ(found.instances[0].name, "in");
    EXPECT_EQ(found.instances[0].spool_dir, "/a");
    EXPECT_EQ(found.instances[1].name, "in");
    EXPECT_EQ(found.instances[1].spool_dir, "/b");
    EXPECT_EQ(found.instances[1].port, "26");
}

TEST(instances, process_wide_options_are_those_of_the_first) {
    const configuration found = configuration_of({"--in-spool-dir=/in", "--in-log", "--out-spool-dir=/out",
                                                  "--out-no-daemon", "--out-log-file=/x", "--out-verbose",
                                                  "--out-pid-file=/p", "--out-syslog=nonsense"});
    EXPECT_TRUE(found.whole.log);
    EXPECT_TRUE(found.whole.daemon);
    EXPECT_EQ(found.whole.verbose, 0);
    EXPECT_EQ(found.whole.log_file, "");
    EXPECT_EQ(found.whole.pid_file, "");
    EXPECT_FALSE(configuration_of({"--in-spool-dir=/in", "--out-spool-dir=/out", "--out-log"}).whole.log);
}

TEST(instances, an_exact_name_comes_before_a_prefix) {
    const configuration found =
        configuration_of({"--client-spool-dir=/x", "--client-port=26", "--client-interface=127.0.0.1"});
    EXPECT_EQ(found.instances[0].port, "26");
    EXPECT_EQ(found.instances[0].client_interface, "127.0.0.1");
    EXPECT_TRUE(found.instances[0].interfaces.empty());
}

TEST(instances, each_has_its_own_defaults_and_checks) {
    const configuration found = configuration_of(
        {"--in-spool-dir=/in", "--in-as-server", "--out-spool-dir=/out", "--out-as-client=host:25"});
    EXPECT_TRUE(found.whole.log);
    EXPECT_TRUE(found.whole.daemon); // --out-as-client does not reach beyond its instance
    EXPECT_TRUE(found.instances[0].serve_smtp);
    EXPECT_FALSE(found.instances[0].client_mode);
    EXPECT_FALSE(found.instances[1].serve_smtp);
    EXPECT_TRUE(found.instances[1].client_mode);
    EXPECT_EQ(ending_of({"--in-spool-dir=/in", "--out-spool-dir=/out", "--out-forward"}).err,
              "emailrelay: usage error: --forward requires --forward-to\n");
}

TEST(instances, many_prefixes_end_in_reasonable_time) {
    words many;
    for (int i = 0; i < 500; ++i) {
        many.push_back("--p" + std::to_string(i) + "-spool-dir=/x");
        many.push_back("--p" + std::to_string(i) + "-port=26");
    }
    EXPECT_EQ(configuration_of(many).instances.size(), 500U);
}

} // namespace
