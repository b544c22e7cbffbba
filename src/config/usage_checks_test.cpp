// Checks after parsing: spec/command-line.md section 4; and options that are not built yet.
#include "config/test_support.hpp"

using namespace config;
using namespace config::testing;

namespace {

// The text of the usage error; all else that is printed must be right.
std::string usage_error(const words& given) {
    const ending end = ending_of(given);
    const std::string front = "emailrelay: usage error: ";
    if (end.exit_code != 1 || !end.out.empty() || !end.err.starts_with(front) || !end.err.ends_with('\n'))
        return "not a usage error: " + end.err;
    return end.err.substr(front.size(), end.err.size() - front.size() - 1);
}

struct check {
    words given;
    std::string text;
};

TEST(usage_checks, every_condition_has_its_text) {
    const check checks[] = {
        {{"--log", "--syslog=foo"},
         "invalid --syslog facility: use 'mail', 'user', 'daemon', or 'local0' to 'local7'"},
        {{"--log", "--syslog=local8"},
         "invalid --syslog facility: use 'mail', 'user', 'daemon', or 'local0' to 'local7'"},
        {{"--poll=0"}, "invalid --poll period: try --forward-on-disconnect"},
        {{"--poll=x"}, "invalid --poll period: try --forward-on-disconnect"},
        {{"--poll=4294967296"}, "invalid --poll period: try --forward-on-disconnect"},
        {{"--poll="}, "invalid --poll period: try --forward-on-disconnect"},
        {{"--pop-port=110"}, "pop options require --pop"},
        {{"--pop-auth=/x"}, "pop options require --pop"},
        {{"--pop-by-name"}, "pop options require --pop"},
        {{"--pop-no-delete"}, "pop options require --pop"},
        {{"--pop-tls-connection"}, "pop options require --pop"},
        {{"--pop", "--pop-auth=/x", "--pop-tls-connection"},
         "--pop-tls-connection requires --server-tls or --server-tls-connection"},
        {{"--pop"}, "the --pop option requires --pop-auth"},
        {{"--admin-terminate"}, "the --admin-terminate option requires --admin"},
        {{"--forward-to=h:25", "--as-client=h:25"},
         "--forward-to cannot be used with --as-client or --as-proxy"},
        {{"--forward-to=h:25", "--as-proxy=i:25"},
         "--forward-to cannot be used with --as-client or --as-proxy"},
        {{"--forward"}, "--forward requires --forward-to"},
        {{"--forward", "--forward-to="}, "--forward requires --forward-to"},
        {{"--as-client="}, "--forward requires --forward-to"},
        {{"--forward-on-disconnect"}, "--forward-on-disconnect requires --forward-to"},
        {{"--client-filter=/x"}, "--client-filter requires --forward-to"},
        {{"--dont-serve", "--filter=/x"},
         "the --filter option cannot be used with --as-client or --dont-serve"},
        {{"--as-client=h:25", "--port=26"},
         "the --port option cannot be used with --as-client or --dont-serve"},
        {{"-x", "--server-auth=/x"},
         "the --server-auth option cannot be used with --as-client or --dont-serve"},
        {{"-x", "--pop", "--pop-auth=/x"},
         "the --pop option cannot be used with --as-client or --dont-serve"},
        {{"-x", "--admin=1"}, "the --admin option cannot be used with --as-client or --dont-serve"},
        {{"-X", "--filter=/x"}, "the --filter option cannot be used with --no-smtp"},
        {{"-X", "--port=26"}, "the --port option cannot be used with --no-smtp"},
        {{"-X", "--server-auth=/x"}, "the --server-auth option cannot be used with --no-smtp"},
        {{"--server-auth-config=m:"}, "the --server-auth-config option requires --server-auth"},
        {{"--client-auth-config=m:"}, "the --client-auth-config option requires --client-auth"},
        {{"--verbose"},
         "the --verbose option must be used with --log, --help, --as-client, --as-server or --as-proxy"},
        {{"--debug"}, "the --debug option requires --log, --as-client, --as-server or --as-proxy"},
        {{"--client-tls", "--client-tls-connection"},
         "the --client-tls and --client-tls-connection options cannot be used together"},
        {{"--server-tls", "--server-tls-connection"},
         "the --server-tls and --server-tls-connection options cannot be used together"},
        {{"--server-tls"}, "the --server-tls option requires --server-tls-certificate"},
        {{"--server-tls-connection"}, "the --server-tls-connection option requires --server-tls-certificate"},
        {{"--server-tls-certificate=/x"},
         "the --server-tls options require either --server-tls or --server-tls-connection"},
        {{"--server-tls-verify=/x"},
         "the --server-tls options require either --server-tls or --server-tls-connection"},
        {{"--client-tls-certificate=/x"},
         "the --client-tls- options require --client-tls or --client-tls-connection"},
        {{"--client-tls-verify=/x"},
         "the --client-tls- options require --client-tls or --client-tls-connection"},
        {{"--client-tls-required"},
         "the --client-tls- options require --client-tls or --client-tls-connection"},
        {{"--server-tls", "--server-tls-certificate=a,b,c"},
         "the --server-tls-certificate option cannot be used more than twice"},
        {{"--client-tls", "--client-tls-certificate=a", "--client-tls-certificate=b",
          "--client-tls-certificate=b"},
         "the --client-tls-certificate option cannot be used more than twice"},
        {{"--client-tls", "--client-tls-verify-name=x"},
         "the --client-tls-verify-name options requires --client-tls-verify"},
        {{"--server-tls-required"}, "--server-tls-required requires --server-tls or --server-tls-connection"},
        {{"--interface=::1,client=127.0.0.1"},
         "using --interface with client= is no longer supported: use --client-interface instead"},
        {{"--dnsbl=bl.example"}, "--dnsbl requires --remote-clients or -r"},
        {{"--forward-to=/run/lmtp", "--client-interface=127.0.0.1"},
         "the --client-interface option cannot be used with a unix-domain forwarding address"},
        {{"--as-client=/run/lmtp", "--client-interface=127.0.0.1"},
         "the --client-interface option cannot be used with a unix-domain forwarding address"},
        {{"--domain="}, "the --domain value must not be empty"},
        {{"--server-auth="}, "the --server-auth value must not be empty"},
        {{"--pop", "--pop-auth="}, "the --pop-auth value must not be empty"},
        {{"--server-tls", "--server-tls-certificate="},
         "the --server-tls-certificate value must not be empty"},
        {{"--server-tls", "--server-tls-certificate=a", "--server-tls-verify="},
         "the --server-tls-verify value must not be empty"},
        {{"--client-tls", "--client-tls-verify="}, "the --client-tls-verify value must not be empty"},
        {{"--client-tls", "--client-tls-verify=a", "--client-tls-verify-name="},
         "the --client-tls-verify-name value must not be empty"},
        {{"--filter=exit:"}, "invalid filter specification: numeric value missing"},
        {{"--filter=exit:x"}, "invalid filter specification: invalid numeric value: x"},
        {{"--filter=exit:4294967296"}, "invalid filter specification: numeric value too big: 4294967296"},
        {{"--filter=/a,,/b"}, "invalid filter specification: empty file path"},
        {{"--filter=net:host"}, "invalid filter specification: invalid host:service format: host"},
        {{"--forward-to=h:25", "--client-filter=sleepms:"},
         "invalid client filter specification: numeric value missing"},
        {{"--forward-to=h:25", "--client-filter=file:"},
         "invalid client filter specification: empty file path"},
        {{"--address-verifier=exit:x"}, "invalid verifier specification: not a numeric exit code: x"},
        {{"--address-verifier="}, "invalid verifier specification: empty file path"},
    };
    for (const check& one : checks)
        EXPECT_EQ(usage_error(one.given), one.text);
}

TEST(usage_checks, first_hit_only) {
    EXPECT_EQ(usage_error({"--syslog=x", "--poll=0", "--pop-port=1", "--domain="}),
              "invalid --syslog facility: use 'mail', 'user', 'daemon', or 'local0' to 'local7'");
    EXPECT_EQ(usage_error({"--domain=", "--filter=exit:x", "--verbose"}),
              "the --verbose option must be used with --log, --help, --as-client, --as-server or --as-proxy");
    EXPECT_EQ(usage_error({"-x", "--admin=1", "--port=1", "--filter=/x"}),
              "the --filter option cannot be used with --as-client or --dont-serve");
}

TEST(usage_checks, what_is_allowed) {
    const words allowed[] = {
        {"--poll=1"},                      // without --forward-to it does nothing
        {"--poll=10", "--as-client=h:25"}, // 2.4 refused these two
        {"--poll=10", "--dont-serve", "--forward-to=h:25"},
        {"--version", "--verbose"},
        {"--as-client=h:25", "--forward", "--log", "--no-daemon", "--dont-serve"},
        {"--as-client=h:25", "--as-server", "-v", "-g"},
        {"--as-proxy=h:25", "-v", "--forward-on-disconnect"},
        {"--interface=/run/client=x"},
        {"--syslog=local7"},
        {"--test=x"},
        {"--max-errors=0", "--threads=0", "--max-command-line=512"},
    };
    for (const words& given : allowed)
        EXPECT_EQ(ending_of(given).err.find("error"), std::string::npos) << given[0];
}

TEST(usage_checks, flags_given_as_off_are_not_given) {
    EXPECT_EQ(ending_of({"--forward=no", "--pop=no", "--verbose=no", "--server-tls=no"}).err, "started");
}

TEST(usage_checks, order_of_everything) {
    surroundings around = world("nonsense");
    // Help before all else, then what is written badly, version, surplus words, checks, availability.
    EXPECT_EQ(ending_of({"--help", "--foo", "-s", "x", "missing"}, around).exit_code, 0);
    EXPECT_EQ(ending_of({"--version", "file"}, around).err, parse_errors({"invalid option: \"--nonsense\""}));
    EXPECT_EQ(ending_of({"--version", "missing", "x"}).exit_code, 0);
    EXPECT_EQ(ending_of({"--version", "missing"}).exit_code, 1);
    EXPECT_EQ(ending_of({"--version", "--verbose", "--forward"}).exit_code, 0);
    EXPECT_EQ(ending_of({"--pop", "--forward", "file", "x"}).err,
              std::string("emailrelay: usage error: too many non-option arguments\n") + hint);
    EXPECT_EQ(usage_error({"--pop", "--pop-auth=x", "--forward"}), "--forward requires --forward-to");
    EXPECT_EQ(ending_of({"--version=no"}).err, "started");
}

// Availability

std::string unavailable(const words& names) {
    std::string all;
    for (const std::string& name : names)
        all += "emailrelay: error: " + name + " is not available in this build yet\n";
    return all;
}

TEST(availability, what_is_not_built_is_refused_in_the_order_of_the_table) {
    surroundings windows = world();
    windows.on = platform::windows;
    EXPECT_EQ(ending_of({"--show=window", "--hidden", "--no-daemon"}, windows).err,
              unavailable({"--hidden", "--show"}));
    EXPECT_EQ(ending_of({"--show=window", "--no-daemon"}, windows).exit_code, 1);
    EXPECT_EQ(ending_of({"--in-spool-dir=/a", "--out-spool-dir=/b", "--out-tls-config=x"}).err, "started")
        << "process-wide options of a second instance are ignored";
}

// Until they are built: each of these leaves the list with its row.
TEST(availability, the_list) {
    words names;
    for (const option& row : options())
        if (row.built == availability::later)
            names.emplace_back(row.name);
    EXPECT_EQ(names, (words{"hidden", "show"})) << "these are of Windows";
}

TEST(availability, interface_names) {
    EXPECT_EQ(ending_of({"--interface=eth0,127.0.0.1,smtp=eth1-ipv4,pop=eth0,admin=eth0"}).err, "started");
    // The listener has texts for these.
    EXPECT_EQ(ending_of({"--interface=foo/bar,fd#x"}).err, "started");
}

TEST(availability, socks) {
    for (const char* given : {"--forward-to=a:1@b:2", "--as-client=a:1@b:2", "--as-proxy=a:1@b:2"})
        EXPECT_EQ(ending_of({given}).err, "started") << given;
}

TEST(availability, bad_block_lists_have_their_own_text) {
    EXPECT_EQ(ending_of({"-r", "--dnsbl=127.0.0.1:53,x"}).err,
              "emailrelay: error: invalid dnsbl configuration: not enough comma-sparated fields\n");
    EXPECT_EQ(ending_of({"-r", "--dnsbl=bl.example"}).err, "started");
}

} // namespace
