// What the command line and the configuration file say, as plain structs (spec/command-line.md).
//
// read_configuration() is pure: files are read through a function given to it, and nothing is printed. It
// gives either something to print and an exit code, or a checked configuration with its warnings.
#pragma once

#include "config/specifications.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace config {

// Options that belong to the whole process.
struct process {
    std::string program = "emailrelay"; // name in front of messages and log lines
    bool log = false;
    int verbose = 0; // times given, 0 to 2
    bool debug = false;
    bool log_time = false; // each from its own option or from --log-format
    bool log_address = false;
    bool log_port = false;
    bool log_msgid = false;
    bool log_unit = false;
    std::string log_file; // absolute; may hold %d and %h
    bool use_syslog = false;
    std::string syslog_facility = "mail";
    bool close_stderr = false;
    bool daemon = true;
    std::string pid_file; // absolute, empty if none
    std::string user = "daemon";
    std::vector<std::string> tls_config; // keywords of --tls-config
    unsigned threads = 0;                // --threads; 0 = one per core
    bool check_only = false;             // --check-config
    bool sandbox = true;                 // --no-sandbox clears it
};

struct anonymity {
    bool vrfy = false, server = false, content = false, client = false;
};

// --server-tls... or --client-tls...
struct tls_side {
    bool starttls = false;
    bool implicit = false;
    bool required = false;
    std::vector<std::string> certificate_files; // absolute; at most two: key, certificates
    std::string verify;                         // absolute path or "<...>"; empty: not given
    std::string verify_name;                    // client only
    std::string server_name;                    // client only
    bool enabled() const noexcept { return starttls || implicit; }
};

struct interface_item {
    enum class service { all, smtp, pop, admin };
    service what = service::all;
    std::string address; // without the qualifier, as written
};

struct pop_service {
    std::string port = "110"; // as written
    bool by_name = false;
    bool may_delete = true;
    bool tls_from_the_start = false;
};

struct admin_service {
    std::string port; // as written
    bool may_terminate = false;
};

// One relay instance: a listener set, a spool, a forwarder.
struct instance {
    std::string name;      // prefix, empty for the nameless one
    std::string spool_dir; // absolute
    // The same as filter programs are told it: relative if it was given so and the process stays where it is.
    std::string spool_dir_for_programs;
    // listening
    bool serve_smtp = true;
    std::string port = "25"; // as written; checked when the listener is made
    std::vector<interface_item> interfaces;
    bool remote_clients = false;
    std::string domain; // empty: find out
    // server
    std::uint64_t size_limit = 0;
    anonymity anonymous;
    unsigned idle_timeout = 1800; // seconds, 0 = none
    struct {
        bool pipelining = true, chunking = false, smtputf8 = false, smtputf8_strict = false;
        bool strict_parsing = true, a_labels = true, linger = true;
    } server_smtp;
    // client
    std::string forward_to; // as written, empty if none
    bool forward_at_start = false;
    bool forward_on_disconnect = false;
    bool immediate = false;
    std::uint64_t poll_milliseconds = 0; // 0 = off
    unsigned forward_connections = 1;    // in one run; new; 0 as 1
    bool forward_to_some = false;
    std::string client_interface;     // as written, empty if none
    unsigned connection_timeout = 40; // seconds; 0 = none
    unsigned response_timeout = 1800;
    unsigned prompt_timeout = 20;
    struct {
        bool pipelining = false, smtputf8_strict = true, eightbit_strict = false, binarymime_strict = true;
        bool linger = true;
    } client_smtp;
    // other servers
    std::optional<pop_service> pop;
    std::optional<admin_service> admin;
    // authentication; empty: none
    std::string server_auth; // secrets file, absolute, or "pam:"
    std::string server_auth_config;
    std::string pop_auth;    // as server_auth
    std::string client_auth; // secrets file, absolute, or "plain:..." with the secret itself
    std::string client_auth_config;
    // Ends after one run: --as-client, or --dont-serve with --forward and without --poll.
    bool client_mode = false;
    tls_side server_tls;
    tls_side client_tls;
    // filters and checks
    std::vector<filter_specification> filters;
    std::vector<filter_specification> client_filters;
    unsigned filter_timeout = 60; // seconds
    std::optional<verifier_specification> verifier;
    std::string delivery_dir; // absolute; empty for the spool directory
    std::optional<dnsbl_specification> dnsbl;
    // new options
    bool sync = true; // --no-sync clears it
    struct {
        std::size_t command_line = 4096, auth_line = 12'288, recipients = 10'000, hops = 100;
        unsigned errors = 8, other_errors = 20, idle_commands = 1000;
        unsigned sessions = 10'000, sessions_per_address = 1000;
        unsigned command_seconds = 300;
        std::uint64_t data_rate = 500; // octets per second
        std::size_t pending_replies = 65'536, response_line = 4096, response_lines = 128;
    } limits;
};

struct configuration {
    process whole;
    std::vector<instance> instances;   // at least one
    std::vector<std::string> warnings; // without the "<program>: warning: " in front
};

// Print and end.
struct ending {
    int exit_code = 0;
    std::string out{}; // for stdout
    std::string err{}; // for stderr
};

enum class platform { posix, windows };

struct surroundings {
    std::string program = "emailrelay";  // name in front of messages
    std::string start_directory = "/";   // for relative paths
    std::string program_directory = "/"; // for @app
    std::string default_spool_dir = "/var/spool/emailrelay";
    std::string default_locale_dir = "/usr/share/locale"; // for --localedir without a value
    unsigned columns = 79;                                // width of help
    std::function<std::optional<std::string>(const std::string& path)> read_file;
    enum class file_kind { missing, file, directory };
    std::function<file_kind(const std::string& path)> look_at;
    std::function<std::optional<std::string>(const std::string& name)> variable;    // of the environment
    std::function<std::optional<std::string>(std::string_view domain)> to_a_labels; // may be missing
    std::string tls_library; // for --version --verbose; empty if none
    platform on = platform::posix;
};

using outcome = std::variant<configuration, ending>;

// Whether the instance serves or forwards at all. When none does there is "nothing to do" (exit code 0).
bool has_work(const instance& one);

// The directory of --localedir, absolute; nothing without the option. To be asked first, so that what
// read_configuration() has to say is translated: mistakes are passed over.
std::optional<std::string> find_locale_directory(const std::vector<std::string>& words,
                                                 const surroundings& around);

outcome read_configuration(const std::vector<std::string>& words, const surroundings& around);

} // namespace config
