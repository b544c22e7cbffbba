// Structs and warnings: spec/command-line.md sections 1, 2, 3.2 and the warnings of section 4.
#include "config/test_support.hpp"

using namespace config;
using namespace config::testing;

namespace {

TEST(building, without_options_it_is_the_default_server) {
    const configuration found = configuration_of({});
    const process& whole = found.whole;
    EXPECT_FALSE(whole.log || whole.debug || whole.log_time || whole.use_syslog || whole.close_stderr);
    EXPECT_TRUE(whole.daemon);
    EXPECT_EQ(whole.user, "daemon");
    EXPECT_EQ(whole.threads, 0U);
    EXPECT_TRUE(whole.sandbox);
    EXPECT_EQ(whole.pid_file, "");
    const instance& one = found.instances[0];
    EXPECT_TRUE(one.serve_smtp);
    EXPECT_EQ(one.port, "25");
    EXPECT_TRUE(one.interfaces.empty());
    EXPECT_EQ(one.forward_to, "");
    EXPECT_EQ(one.connection_timeout, 40U);
    EXPECT_EQ(one.response_timeout, 1800U);
    EXPECT_EQ(one.idle_timeout, 1800U);
    EXPECT_EQ(one.prompt_timeout, 20U);
    EXPECT_EQ(one.size_limit, 0U);
    EXPECT_FALSE(one.forward_at_start || one.forward_on_disconnect || one.forward_to_some || one.client_mode);
    EXPECT_TRUE(one.sync);
    EXPECT_TRUE(found.warnings.empty());
}

TEST(building, as_client) {
    const configuration found = configuration_of({"--as-client=host:25"});
    EXPECT_TRUE(found.whole.log);
    EXPECT_FALSE(found.whole.use_syslog || found.whole.daemon || found.whole.close_stderr);
    const instance& one = found.instances[0];
    EXPECT_EQ(one.forward_to, "host:25");
    EXPECT_TRUE(one.forward_at_start && one.client_mode);
    EXPECT_FALSE(one.serve_smtp);
    EXPECT_TRUE(configuration_of({"-q", "host:25", "--syslog"}).whole.use_syslog);
    EXPECT_TRUE(configuration_of({"-q", "host:25", "--syslog", "--no-syslog"}).whole.use_syslog);
}

TEST(building, as_proxy) {
    const configuration found = configuration_of({"--as-proxy=host:25"});
    EXPECT_TRUE(found.whole.log && found.whole.use_syslog && found.whole.daemon && found.whole.close_stderr);
    const instance& one = found.instances[0];
    EXPECT_EQ(one.forward_to, "host:25");
    EXPECT_TRUE(one.forward_on_disconnect && one.serve_smtp);
    EXPECT_FALSE(one.forward_at_start || one.client_mode);
}

TEST(building, as_server) {
    const configuration found = configuration_of({"--as-server"});
    EXPECT_TRUE(found.whole.log && found.whole.use_syslog && found.whole.daemon && found.whole.close_stderr);
    EXPECT_FALSE(configuration_of({"--as-server", "--no-daemon"}).whole.daemon);
    EXPECT_FALSE(configuration_of({"--as-server", "--no-syslog", "--log-file=x"}).whole.use_syslog);
}

TEST(building, no_logging_without_log) {
    const process whole = configuration_of({"--syslog", "--log-time"}).whole;
    EXPECT_FALSE(whole.log || whole.use_syslog);
}

TEST(building, log_fields) {
    const process flags = configuration_of({"--log", "--log-time", "--log-address"}).whole;
    EXPECT_TRUE(flags.log_time && flags.log_address);
    EXPECT_FALSE(flags.log_port || flags.log_msgid || flags.log_unit);
    const process format =
        configuration_of({"-l", "--log-format=time,unit", "--log-format=address, port,msgid,x"}).whole;
    EXPECT_TRUE(format.log_time && format.log_unit && format.log_address && format.log_port &&
                format.log_msgid);
}

TEST(building, process_values) {
    const process whole =
        configuration_of({"-l", "-g", "-u", "mail", "--threads=3", "--no-sandbox", "-N", "log/%d", "-i", "p"})
            .whole;
    EXPECT_TRUE(whole.debug);
    EXPECT_EQ(whole.user, "mail");
    EXPECT_EQ(whole.threads, 3U);
    EXPECT_FALSE(whole.sandbox);
    EXPECT_EQ(whole.log_file, "/home/u/log/%d");
    EXPECT_EQ(whole.pid_file, "/home/u/p");
    EXPECT_EQ(configuration_of({"--user=root"}).whole.user, "root");
}

TEST(building, paths) {
    const surroundings around = world();
    EXPECT_EQ(absolute_path("/a", around), "/a");
    EXPECT_EQ(absolute_path("a/b", around), "/home/u/a/b");
    EXPECT_EQ(absolute_path("../b", around), "/home/u/../b");
    EXPECT_EQ(absolute_path("@app/b", around), "/opt/app/b");
    EXPECT_EQ(absolute_path("@app", around), "/opt/app");
    EXPECT_EQ(absolute_path("@apple", around), "/home/u/@apple");
    EXPECT_EQ(absolute_path("", around), "");
    surroundings top = around;
    top.start_directory = "/";
    EXPECT_EQ(absolute_path("a", top), "/a");
    EXPECT_EQ(instance_of({"-s", "@app/spool"}).spool_dir, "/opt/app/spool");
}

TEST(building, the_spool_directory_that_programs_are_told) {
    EXPECT_EQ(instance_of({"-s", "spool"}).spool_dir_for_programs, "/home/u/spool");
    EXPECT_EQ(instance_of({"-s", "spool", "--no-daemon"}).spool_dir_for_programs, "spool");
    EXPECT_EQ(instance_of({"-s", "spool", "--no-daemon"}).spool_dir, "/home/u/spool");
    EXPECT_EQ(instance_of({"-s", "../spool/", "--as-client=host:25"}).spool_dir_for_programs, "../spool/");
    EXPECT_EQ(instance_of({"-s", "@app/spool", "--no-daemon"}).spool_dir_for_programs, "/opt/app/spool");
    EXPECT_EQ(instance_of({"-s", "/spool", "--no-daemon"}).spool_dir_for_programs, "/spool");
}

TEST(building, server_values) {
    const instance one = instance_of({"-r", "-D", "mail.example", "-M", "1000", "--idle-timeout=0", "-I",
                                      "smtp=127.0.0.1,pop=::1", "--interface=admin=/run/a,fd#3"});
    EXPECT_TRUE(one.remote_clients);
    EXPECT_EQ(one.domain, "mail.example");
    EXPECT_EQ(one.size_limit, 1000U);
    EXPECT_EQ(one.idle_timeout, 0U);
    using service = interface_item::service;
    ASSERT_EQ(one.interfaces.size(), 4U);
    EXPECT_EQ(one.interfaces[0].what, service::smtp);
    EXPECT_EQ(one.interfaces[0].address, "127.0.0.1");
    EXPECT_EQ(one.interfaces[1].what, service::pop);
    EXPECT_EQ(one.interfaces[2].what, service::admin);
    EXPECT_EQ(one.interfaces[2].address, "/run/a");
    EXPECT_EQ(one.interfaces[3].what, service::all);
    EXPECT_EQ(one.interfaces[3].address, "fd#3");
    EXPECT_FALSE(instance_of({"--no-smtp"}).serve_smtp);
    EXPECT_FALSE(instance_of({"--dont-serve"}).serve_smtp);
}

TEST(building, pop_values) {
    EXPECT_FALSE(instance_of({}).pop);
    const auto plain = instance_of({"--pop", "--pop-auth=pam:"}).pop;
    ASSERT_TRUE(plain);
    EXPECT_EQ(plain->port, "110");
    EXPECT_FALSE(plain->by_name);
    EXPECT_TRUE(plain->may_delete);
    EXPECT_FALSE(plain->tls_from_the_start);
    const auto other =
        instance_of({"--pop", "--pop-auth=pam:", "--pop-port=995", "--pop-by-name", "--pop-no-delete",
                     "--pop-tls-connection", "--server-tls", "--server-tls-certificate=/x"})
            .pop;
    ASSERT_TRUE(other);
    EXPECT_EQ(other->port, "995");
    EXPECT_TRUE(other->by_name);
    EXPECT_FALSE(other->may_delete);
    EXPECT_TRUE(other->tls_from_the_start);
}

TEST(building, anonymity) {
    const auto scopes = [](const words& given) {
        const anonymity a = instance_of(given).anonymous;
        return std::string(a.vrfy ? "v" : "") + (a.server ? "s" : "") + (a.content ? "c" : "") +
               (a.client ? "l" : "");
    };
    EXPECT_EQ(scopes({}), "");
    EXPECT_EQ(scopes({"-A"}), "vscl");
    EXPECT_EQ(scopes({"--anonymous"}), "vscl");
    EXPECT_EQ(scopes({"--anonymous=yes"}), "vscl");
    EXPECT_EQ(scopes({"--anonymous=vrfy,content"}), "vc");
    EXPECT_EQ(scopes({"--anonymous=server,client,foo,VRFY"}), "sl");
    EXPECT_EQ(scopes({"--anonymous=no"}), "");
    EXPECT_EQ(scopes({"--anonymous="}), "");
}

TEST(building, client_values) {
    const instance one = instance_of({"-o", "h:25", "-f", "-1", "--forward-to-some", "--forward-to-all", "-6",
                                      "127.0.0.1:99", "-U", "1", "-T", "2", "-w", "3", "-O", "60"});
    EXPECT_TRUE(one.forward_at_start && one.forward_on_disconnect && one.forward_to_some && one.serve_smtp);
    EXPECT_EQ(one.client_interface, "127.0.0.1:99");
    EXPECT_EQ(one.connection_timeout, 1U);
    EXPECT_EQ(one.response_timeout, 2U);
    EXPECT_EQ(one.prompt_timeout, 3U);
    EXPECT_EQ(one.poll_milliseconds, 60'000U);
    EXPECT_EQ(instance_of({"--forward-to=h:25", "--poll=50ms"}).poll_milliseconds, 50U);
    EXPECT_EQ(instance_of({"--poll=60"}).poll_milliseconds, 0U); // useless without an address
    EXPECT_FALSE(instance_of({"--forward-to-all"}).forward_to_some);
}

// spec/process-and-logging.md section 5.
TEST(building, client_mode_and_nothing_to_do) {
    const instance client = instance_of({"--dont-serve", "--forward", "--forward-to=h:25"});
    EXPECT_TRUE(client.client_mode);
    EXPECT_TRUE(has_work(client));
    const instance poller = instance_of({"--dont-serve", "--forward", "--forward-to=h:25", "--poll=1"});
    EXPECT_FALSE(poller.client_mode);
    EXPECT_TRUE(has_work(poller));
    EXPECT_TRUE(instance_of({"--as-client=h:25", "--poll=1"}).client_mode);
    EXPECT_TRUE(has_work(instance_of({"--dont-serve", "--forward-to=h:25", "--poll=1"})));
    EXPECT_TRUE(has_work(instance_of({})));
    EXPECT_FALSE(has_work(instance_of({"--dont-serve"})));
    EXPECT_FALSE(has_work(instance_of({"--no-smtp", "--forward-to=h:25"})));
    EXPECT_FALSE(has_work(instance_of({"--dont-serve", "--poll=1"})));
    EXPECT_FALSE(has_work(instance_of({"--dont-serve", "--forward-on-disconnect", "--forward-to=h:25"})));
}

TEST(building, protocol_switches) {
    const auto defaults = instance_of({});
    EXPECT_TRUE(defaults.server_smtp.pipelining && defaults.server_smtp.strict_parsing);
    EXPECT_TRUE(defaults.server_smtp.a_labels && defaults.server_smtp.linger);
    EXPECT_FALSE(defaults.server_smtp.chunking || defaults.server_smtp.smtputf8 ||
                 defaults.server_smtp.smtputf8_strict);
    EXPECT_TRUE(defaults.client_smtp.smtputf8_strict && defaults.client_smtp.binarymime_strict);
    EXPECT_TRUE(defaults.client_smtp.linger);
    EXPECT_FALSE(defaults.client_smtp.pipelining || defaults.client_smtp.eightbit_strict);

    const auto server =
        instance_of({"--server-smtp-config=-pipelining,+chunking,smtputf8,with-smtputf8strict", "-Z",
                     "nostrictparsing,noalabels,nolinger"})
            .server_smtp;
    EXPECT_TRUE(server.chunking && server.smtputf8 && server.smtputf8_strict);
    EXPECT_FALSE(server.pipelining || server.strict_parsing || server.a_labels || server.linger);
    const auto client =
        instance_of({"-c", "pipelining,nosmtputf8strict,eightbitstrict,-binarymimestrict,-linger"})
            .client_smtp;
    EXPECT_TRUE(client.pipelining && client.eightbit_strict);
    EXPECT_FALSE(client.smtputf8_strict || client.binarymime_strict || client.linger);
}

TEST(building, limits) {
    const auto defaults = instance_of({}).limits;
    EXPECT_EQ(defaults.command_line, 4096U);
    EXPECT_EQ(defaults.auth_line, 12'288U);
    EXPECT_EQ(defaults.recipients, 10'000U);
    EXPECT_EQ(defaults.hops, 100U);
    EXPECT_EQ(defaults.errors, 8U);
    EXPECT_EQ(defaults.other_errors, 20U);
    EXPECT_EQ(defaults.idle_commands, 1000U);
    EXPECT_EQ(defaults.sessions, 10'000U);
    EXPECT_EQ(defaults.sessions_per_address, 1000U);
    EXPECT_EQ(defaults.command_seconds, 300U);
    EXPECT_EQ(defaults.data_rate, 500U);
    EXPECT_EQ(defaults.pending_replies, 65'536U);
    EXPECT_EQ(defaults.response_line, 4096U);
    EXPECT_EQ(defaults.response_lines, 128U);

    const instance one = instance_of(
        {"--max-command-line=1024", "--max-recipients=2", "--max-hops=13", "--max-errors=3",
         "--max-other-errors=4", "--max-idle-commands=5", "--max-sessions=6", "--max-sessions-per-address=7",
         "--command-timeout=8", "--min-data-rate=9", "--max-pending-replies=1000", "--max-response-line=1001",
         "--max-response-lines=12", "--no-sync", "--max-auth-line=1002"});
    EXPECT_EQ(one.limits.command_line, 1024U);
    EXPECT_EQ(one.limits.auth_line, 1002U);
    EXPECT_EQ(one.limits.recipients, 2U);
    EXPECT_EQ(one.limits.hops, 13U);
    EXPECT_EQ(one.limits.errors, 3U);
    EXPECT_EQ(one.limits.other_errors, 4U);
    EXPECT_EQ(one.limits.idle_commands, 5U);
    EXPECT_EQ(one.limits.sessions, 6U);
    EXPECT_EQ(one.limits.sessions_per_address, 7U);
    EXPECT_EQ(one.limits.command_seconds, 8U);
    EXPECT_EQ(one.limits.data_rate, 9U);
    EXPECT_EQ(one.limits.pending_replies, 1000U);
    EXPECT_EQ(one.limits.response_line, 1001U);
    EXPECT_EQ(one.limits.response_lines, 12U);
    EXPECT_FALSE(one.sync);
    EXPECT_EQ(instance_of({"--max-recipients=0"}).limits.recipients, 0U);
    EXPECT_EQ(instance_of({}).forward_connections, 1U);
    EXPECT_EQ(instance_of({"--forward-connections=20"}).forward_connections, 20U);
    EXPECT_EQ(instance_of({"--max-auth-line=0"}).limits.auth_line, 0U);
}

// The defaults that help shows are those of the structs.
TEST(building, shown_defaults_are_true) {
    words given;
    for (const option& row : options())
        if (row.checked_number && row.name != "threads")
            given.push_back("--" + std::string(row.name) + "=" + std::string(row.normally));
    for (const char* name : {"connection-timeout", "response-timeout", "idle-timeout", "prompt-timeout",
                             "port", "size", "server-smtp-config", "client-smtp-config", "user"})
        for (const option& row : options())
            if (row.name == name)
                given.push_back("--" + std::string(name) + "=" + std::string(row.normally));
    const instance shown = instance_of(given);
    const instance real = instance_of({});
    EXPECT_EQ(shown.limits.command_line, real.limits.command_line);
    EXPECT_EQ(shown.limits.auth_line, real.limits.auth_line);
    EXPECT_EQ(shown.limits.recipients, real.limits.recipients);
    EXPECT_EQ(shown.limits.hops, real.limits.hops);
    EXPECT_EQ(shown.limits.errors, real.limits.errors);
    EXPECT_EQ(shown.limits.other_errors, real.limits.other_errors);
    EXPECT_EQ(shown.limits.idle_commands, real.limits.idle_commands);
    EXPECT_EQ(shown.limits.sessions, real.limits.sessions);
    EXPECT_EQ(shown.limits.sessions_per_address, real.limits.sessions_per_address);
    EXPECT_EQ(shown.limits.command_seconds, real.limits.command_seconds);
    EXPECT_EQ(shown.limits.data_rate, real.limits.data_rate);
    EXPECT_EQ(shown.connection_timeout, real.connection_timeout);
    EXPECT_EQ(shown.response_timeout, real.response_timeout);
    EXPECT_EQ(shown.idle_timeout, real.idle_timeout);
    EXPECT_EQ(shown.prompt_timeout, real.prompt_timeout);
    EXPECT_EQ(shown.port, real.port);
    EXPECT_EQ(shown.size_limit, real.size_limit);
    EXPECT_EQ(configuration_of(given).whole.user, configuration_of({}).whole.user);
    EXPECT_TRUE(configuration_of(given).warnings.empty());
    EXPECT_EQ(shown.server_smtp.chunking, real.server_smtp.chunking);
    EXPECT_EQ(shown.server_smtp.strict_parsing, real.server_smtp.strict_parsing);
    EXPECT_EQ(shown.client_smtp.eightbit_strict, real.client_smtp.eightbit_strict);
}

TEST(building, tls) {
    const configuration none = configuration_of({});
    EXPECT_FALSE(none.instances[0].server_tls.enabled() || none.instances[0].client_tls.enabled());
    EXPECT_TRUE(none.whole.tls_config.empty());

    const configuration found = configuration_of(
        {"--server-tls", "--server-tls-required", "--server-tls-certificate=key.pem,/etc/cert.pem",
         "--server-tls-verify=<default>", "--forward-to=h:25", "--client-tls-connection",
         "--client-tls-required", "--client-tls-certificate=a", "--client-tls-certificate=b",
         "--client-tls-verify=ca", "--client-tls-verify-name=mail.example",
         "--client-tls-server-name=sni.example", "--tls-config=mbedtls", "--tls-config=tlsv1.2,-tlsv1.3"});
    EXPECT_EQ(found.whole.tls_config, (words{"mbedtls", "tlsv1.2", "-tlsv1.3"}));
    const tls_side& server = found.instances[0].server_tls;
    EXPECT_TRUE(server.starttls && !server.implicit && server.required);
    EXPECT_EQ(server.certificate_files, (words{"/home/u/key.pem", "/etc/cert.pem"}));
    EXPECT_EQ(server.verify, "<default>");
    const tls_side& client = found.instances[0].client_tls;
    EXPECT_TRUE(!client.starttls && client.implicit && client.required);
    EXPECT_EQ(client.certificate_files, (words{"/home/u/a", "/home/u/b"}));
    EXPECT_EQ(client.verify, "/home/u/ca");
    EXPECT_EQ(client.verify_name, "mail.example");
    EXPECT_EQ(client.server_name, "sni.example");
}

TEST(building, filters_and_checks) {
    const instance one =
        build_instance(values_of({"--filter=@app/f,exit:3", "--filter=net:h:1", "--forward-to=h:25",
                                  "--client-filter=c", "--filter-timeout=5", "--delivery-dir=mail",
                                  "--address-verifier=account:", "-r", "--dnsbl=bl.example", "--immediate"})
                           .front(),
                       world());
    ASSERT_EQ(one.filters.size(), 3U);
    EXPECT_EQ(one.filters[0].value, "/opt/app/f");
    EXPECT_EQ(one.filters[1].number, 3U);
    ASSERT_EQ(one.client_filters.size(), 1U);
    EXPECT_EQ(one.client_filters[0].value, "/home/u/c");
    EXPECT_EQ(one.filter_timeout, 5U);
    EXPECT_EQ(one.delivery_dir, "/home/u/mail");
    EXPECT_TRUE(one.verifier.has_value());
    ASSERT_TRUE(one.dnsbl.has_value());
    EXPECT_TRUE(one.immediate);
    EXPECT_FALSE(build_instance(values_of({"--immediate"}).front(), world()).immediate);
}

// Warnings

words warnings_of(const words& given, const surroundings& around = world()) {
    return find_warnings(values_of(given), around);
}

TEST(warnings, pid_files) {
    EXPECT_EQ(warnings_of({"-i", "a", "-i", "b"}), words{"more than one --pid-file: using the first"});
    EXPECT_EQ(configuration_of({"-i", "a", "-i", "b"}).whole.pid_file, "/home/u/a");
}

TEST(warnings, log_that_stops) {
    const auto text = [](const std::string& cause) {
        return words{"logging will stop because --" + cause +
                     " closes the standard error stream soon after startup"};
    };
    EXPECT_EQ(warnings_of({"--as-server", "--no-syslog"}), text("as-server"));
    EXPECT_EQ(warnings_of({"--as-proxy=h:25", "-n"}), text("as-proxy"));
    EXPECT_EQ(warnings_of({"--log", "-n", "--close-stderr"}), text("close-stderr"));
    EXPECT_EQ(warnings_of({"--as-client=h:25", "-e"}), text("close-stderr"));
    EXPECT_EQ(warnings_of({"--as-server"}), words{});
    EXPECT_EQ(warnings_of({"--as-server", "-n", "-k"}), words{});
    EXPECT_EQ(warnings_of({"--as-server", "-n", "--log-file=x"}), words{});
    EXPECT_EQ(warnings_of({"--close-stderr", "-n"}), words{});
    EXPECT_EQ(configuration_of({"--as-server", "--no-syslog"}).warnings, text("as-server"));
}

TEST(warnings, show_on_windows) {
    const auto shown = [](const words& given) {
        return find_warnings(
            divide(read_words(given, relay_vocabulary(platform::windows)).given.uses).instances, world());
    };
    const words text{"the --show option is ignored when using --no-daemon or --as-client"};
    EXPECT_EQ(shown({"--show=tray", "--no-daemon"}), text);
    EXPECT_EQ(shown({"--show=tray", "--as-client=h:25"}), text);
    EXPECT_EQ(shown({"--show=tray"}), words{});
}

TEST(warnings, pam) {
    const words text{"pam authentication should be enabled with pam: rather than /pam"};
    EXPECT_EQ(warnings_of({"--server-auth=/pam"}), text);
    EXPECT_EQ(warnings_of({"--pop", "--pop-auth=/pam"}), text);
    EXPECT_EQ(warnings_of({"--server-auth=pam:"}), words{});
}

TEST(warnings, domain) {
    surroundings around = world();
    EXPECT_EQ(warnings_of({"--domain=b\xc3\xbc.example"}, around),
              words{"the domain should be printable ascii"});
    around.to_a_labels = [](std::string_view) {
        return std::optional<std::string>("xn--b-eha.example");
    };
    EXPECT_EQ(warnings_of({"--domain=b\xc3\xbc.example"}, around),
              words{"the domain should be printable ascii: try using \"xn--b-eha.example\""});
    EXPECT_EQ(warnings_of({"--domain=example"}, around), words{});
    around.to_a_labels = [](std::string_view) {
        return std::optional<std::string>();
    };
    EXPECT_EQ(warnings_of({"--domain=\xff"}, around), words{"the domain should be printable ascii"});
    EXPECT_EQ(warnings_of({"--domain=a\x01"}, around), words{"the domain should be printable ascii"});
}

TEST(warnings, programs) {
    EXPECT_EQ(warnings_of({"--filter=/bin/prog,/bin,/no,exit:0", "--forward-to=h:25", "--client-filter=no",
                           "--address-verifier=/nov"}),
              (words{"invalid program: /bin", "filter program does not exist: /no",
                     "filter program does not exist: /home/u/no", "verifier program does not exist: /nov"}));
    EXPECT_EQ(warnings_of({"--address-verifier=/bin"}), words{"invalid program: /bin"});
    EXPECT_EQ(warnings_of({"--address-verifier=net:h:1", "--filter=net:h:1"}), words{});
}

TEST(warnings, unknown_switches) {
    EXPECT_EQ(configuration_of({"-Z", "+foo,chunking", "-c", "bar\n"}).warnings,
              (words{"unknown smtp-config item [+foo]", "unknown smtp-config item [bar]"}));
}

TEST(warnings, immediate) {
    EXPECT_EQ(
        warnings_of({"--immediate", "--forward-to=h:25"}),
        words{"using --immediate can result in client timeout errors: try --forward-on-disconnect instead"});
    EXPECT_EQ(warnings_of({"--immediate"}), words{});
}

} // namespace
