// The one table of options: one row says all that the program knows about an option. (The tools beside the
// relay have tables of their own in the same form: config/tool_options.hpp.)
//
// Parsing, the checks of new numbers, --help, the refusal of what is not built yet, the manual page and the
// shell completions are read from these rows; nothing else lists options. Code asks for the value of
// an option by name through `known_option`, which does not compile when the table has no such name. See
// docs/howto-add-an-option.md.
#pragma once

#include "config/configuration.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace config {

enum class value_kind {
    none,      // a flag: --x, also --x=yes and --x=no
    one,       // --x=V or --x V
    list,      // the same, may be repeated
    may_follow // --x or --x=V
};

enum class section {
    basic,
    smtp_client,
    smtp_server,
    pop_server,
    admin_server,
    authentication,
    tls,
    process,
    logging
};

enum class scope {
    instance,     // each relay instance has its own
    whole_process // taken from the first instance, ignored in others
};

enum class availability { now, later };

// What a number may be when it is checked; 0 ("none", or "find out") is always allowed.
struct number_range {
    std::uint64_t least = 1;
    std::uint64_t most = 0;
};

struct option {
    std::string_view name{}; // long name, without dashes
    char letter = 0;         // 0 if there is none
    value_kind takes = value_kind::none;
    std::string_view placeholder{}; // in help: "<seconds>"
    section in = section::basic;
    std::string_view text{};          // description: no capital in front, no full stop
    std::string_view normally{};      // default as shown in help
    std::string_view equivalent_to{}; // options that this one stands for
    std::string_view needs{};         // options that must be given as well
    unsigned brief = 0;               // place in the abbreviated help, 0 if it is not there
    bool hidden = false;              // never shown
    std::optional<platform> only_on{};
    scope belongs_to = scope::instance;
    // New in this program: a bad number is an error. (The older ones silently take their default.)
    std::optional<number_range> checked_number{};
    std::string_view choices{}; // words that make up a value, with commas between them, for completion
    availability built = availability::now;
};

namespace detail {
using enum value_kind;
using enum section;
using enum scope;
using enum availability;

// In the order of help, section by section. (Rows of `smtp_client` to `logging` as in
// spec/command-line.md 1.2 - 1.8.)
inline constexpr option table[] = {
    // clang-format off
    {.name = "as-client", .letter = 'q', .takes = one, .placeholder = "<host:port>", .in = basic,
     .text = "send everything in the spool to the given server, then end",
     .equivalent_to = "--log --no-syslog --no-daemon --dont-serve --forward --forward-to", .brief = 1},
    {.name = "as-proxy", .letter = 'y', .takes = one, .placeholder = "<host:port>", .in = basic,
     .text = "serve, and send mail on to the given server as soon as the client that brought it has disconnected",
     .equivalent_to = "--log --close-stderr --forward-on-disconnect --forward-to", .brief = 2},
    {.name = "as-server", .letter = 'd', .in = basic,
     .text = "serve in the background and keep what comes in the spool",
     .equivalent_to = "--log --close-stderr", .brief = 3},
    {.name = "spool-dir", .letter = 's', .takes = one, .placeholder = "<dir>", .in = basic,
     .text = "directory that holds the messages; it must exist", .normally = "/var/spool/emailrelay", .brief = 4},
    {.name = "help", .letter = 'h', .in = basic, .text = "show this and end", .brief = 6,
     .belongs_to = whole_process},
    {.name = "version", .letter = 'V', .in = basic, .text = "show the version and end", .brief = 10,
     .belongs_to = whole_process},

    {.name = "forward-to", .letter = 'o', .takes = one, .placeholder = "<host:port>", .in = smtp_client,
     .text = "server that mail is sent on to; a path is a unix-domain socket"},
    {.name = "forward", .letter = 'f', .in = smtp_client,
     .text = "send what is in the spool once at the start", .needs = "--forward-to"},
    {.name = "forward-on-disconnect", .letter = '1', .in = smtp_client,
     .text = "send what is in the spool whenever a client has disconnected", .needs = "--forward-to"},
    {.name = "poll", .letter = 'O', .takes = one, .placeholder = "<seconds>", .in = smtp_client,
     .text = "send what is in the spool at regular intervals, in seconds or, with ms behind the number, milliseconds"},
    {.name = "forward-connections", .takes = one, .placeholder = "<count>", .in = smtp_client,
     .text = "connections that one run may send over at the same time; with several the order of messages is not kept",
     .normally = "1", .checked_number = number_range{1, 1'000}},
    {.name = "immediate", .letter = 'm', .in = smtp_client,
     .text = "send each message on before its receipt is confirmed to the client"},
    {.name = "forward-to-all", .in = smtp_client,
     .text = "send a message only if all its recipients are accepted; this is the default"},
    {.name = "forward-to-some", .in = smtp_client,
     .text = "send a message to the recipients that are accepted even if others are refused"},
    {.name = "client-filter", .letter = 'Y', .takes = list, .placeholder = "<program>", .in = smtp_client,
     .text = "program, or other filter as for --filter, that each message passes before it is sent",
     .needs = "--forward-to"},
    {.name = "client-interface", .letter = '6', .takes = one, .placeholder = "<ip-address>", .in = smtp_client,
     .text = "local address for outgoing connections, with a port if wanted"},
    {.name = "connection-timeout", .letter = 'U', .takes = one, .placeholder = "<seconds>", .in = smtp_client,
     .text = "limit for finding and connecting to the server, 0 for none", .normally = "40"},
    {.name = "response-timeout", .letter = 'T', .takes = one, .placeholder = "<seconds>", .in = smtp_client,
     .text = "limit for each reply of the server that mail is sent to", .normally = "1800"},
    {.name = "max-response-line", .takes = one, .placeholder = "<bytes>", .in = smtp_client,
     .text = "longest line in a reply of the server that mail is sent to, 0 for any", .normally = "4096",
     .checked_number = number_range{512, 1'073'741'824}},
    {.name = "max-response-lines", .takes = one, .placeholder = "<count>", .in = smtp_client,
     .text = "most lines in such a reply, 0 for any number", .normally = "128",
     .checked_number = number_range{1, 1'000'000'000}},
    {.name = "idle-timeout", .takes = one, .placeholder = "<seconds>", .in = smtp_client,
     .text = "how long clients of this server may be silent, 0 for ever", .normally = "1800"},
    {.name = "client-smtp-config", .letter = 'c', .takes = list, .placeholder = "<switches>", .in = smtp_client,
     .text = "protocol switches for sending, each with + or - in front: pipelining, smtputf8strict, eightbitstrict, "
             "binarymimestrict",
     .normally = "+smtputf8strict,+binarymimestrict",
     .choices = "+pipelining,-smtputf8strict,+eightbitstrict,-binarymimestrict"},

    {.name = "port", .letter = 'p', .takes = one, .placeholder = "<port>", .in = smtp_server,
     .text = "port for SMTP clients", .normally = "25", .brief = 8},
    {.name = "interface", .letter = 'I', .takes = list, .placeholder = "<address>", .in = smtp_server,
     .text = "where to listen: IP addresses, names of network interfaces, paths of unix-domain sockets, fd#<n> for an "
             "inherited descriptor; smtp=, pop= or admin= in front limits an item to that service",
     .normally = "0.0.0.0,::"},
    {.name = "remote-clients", .letter = 'r', .in = smtp_server,
     .text = "serve clients with any address, not local ones only", .brief = 9},
    {.name = "domain", .letter = 'D', .takes = one, .placeholder = "<fqdn>", .in = smtp_server,
     .text = "name by which this server calls itself", .normally = "name of this host"},
    {.name = "size", .letter = 'M', .takes = one, .placeholder = "<bytes>", .in = smtp_server,
     .text = "greatest size of a message, 0 for any", .normally = "0"},
    {.name = "anonymous", .letter = 'A', .takes = may_follow, .placeholder = "<scopes>", .in = smtp_server,
     .text = "give away less: vrfy (no VRFY command), server (plain greeting), content (no Received line), client (no "
             "sender identity when sending); all of them without a value",
     .choices = "vrfy,server,content,client"},
    {.name = "filter", .letter = 'z', .takes = list, .placeholder = "<program>", .in = smtp_server,
     .text = "program that each received message passes; also net:<host:port>, spam:<host:port>, "
             "spam-edit:<host:port>, milter:<host:port>, exit:<n>, sleepms:<n>, deliver:, copy:, split:, mx:, msgid:"},
    {.name = "filter-timeout", .letter = 'W', .takes = one, .placeholder = "<seconds>", .in = smtp_server,
     .text = "limit for each run of a filter", .normally = "60"},
    {.name = "address-verifier", .takes = one, .placeholder = "<program>", .in = smtp_server,
     .text = "program that decides about each recipient; also net:<host:port>, account:, exit:<n>"},
    {.name = "dnsbl", .takes = list, .placeholder = "<config>", .in = smtp_server,
     .text = "DNS block lists to ask about clients: domains, then a threshold, a time limit in milliseconds and the "
             "address of a DNS server if wanted, with commas between them",
     .needs = "--remote-clients"},
    {.name = "delivery-dir", .takes = one, .placeholder = "<dir>", .in = smtp_server,
     .text = "directory of the mailboxes that the deliver: filter fills", .normally = "the spool directory"},
    {.name = "prompt-timeout", .letter = 'w', .takes = one, .placeholder = "<seconds>", .in = smtp_server,
     .text = "how long to wait for the greeting of the server that mail is sent to before going on without it",
     .normally = "20"},
    {.name = "server-smtp-config", .letter = 'Z', .takes = list, .placeholder = "<switches>", .in = smtp_server,
     .text = "protocol switches for receiving, each with + or - in front: pipelining, chunking, smtputf8, "
             "smtputf8strict, strictparsing, alabels",
     .normally = "+pipelining,+strictparsing,+alabels",
     .choices = "-pipelining,+chunking,+smtputf8,+smtputf8strict,-strictparsing,-alabels"},
    {.name = "no-sync", .in = smtp_server,
     .text = "do not wait for the disk before a message is acknowledged: a power cut may then lose mail"},
    {.name = "max-sessions", .takes = one, .placeholder = "<count>", .in = smtp_server,
     .text = "clients served at the same time, 0 for any number", .normally = "10000",
     .checked_number = number_range{1, 1'000'000}},
    {.name = "max-sessions-per-address", .takes = one, .placeholder = "<count>", .in = smtp_server,
     .text = "clients with the same address served at the same time, 0 for any number", .normally = "1000",
     .checked_number = number_range{1, 1'000'000}},
    {.name = "max-command-line", .takes = one, .placeholder = "<bytes>", .in = smtp_server,
     .text = "longest command line, 0 for any", .normally = "4096",
     .checked_number = number_range{512, 1'073'741'824}},
    {.name = "max-auth-line", .takes = one, .placeholder = "<bytes>", .in = smtp_server,
     .text = "longest line of an authentication, 0 for any", .normally = "12288",
     .checked_number = number_range{512, 1'073'741'824}},
    {.name = "max-recipients", .takes = one, .placeholder = "<count>", .in = smtp_server,
     .text = "recipients of one message, 0 for any number", .normally = "10000",
     .checked_number = number_range{1, 1'000'000'000}},
    {.name = "max-hops", .takes = one, .placeholder = "<count>", .in = smtp_server,
     .text = "servers that a message may have passed, this one included, 0 for any number", .normally = "100",
     .checked_number = number_range{1, 1'000'000'000}},
    {.name = "max-errors", .takes = one, .placeholder = "<count>", .in = smtp_server,
     .text = "protocol errors after which a client is disconnected, 0 for never", .normally = "8",
     .checked_number = number_range{1, 1'000'000'000}},
    {.name = "max-other-errors", .takes = one, .placeholder = "<count>", .in = smtp_server,
     .text = "milder errors after which a client is disconnected, 0 for never", .normally = "20",
     .checked_number = number_range{1, 1'000'000'000}},
    {.name = "max-idle-commands", .takes = one, .placeholder = "<count>", .in = smtp_server,
     .text = "commands without a message after which a client is disconnected, 0 for never", .normally = "1000",
     .checked_number = number_range{1, 1'000'000'000}},
    {.name = "command-timeout", .takes = one, .placeholder = "<seconds>", .in = smtp_server,
     .text = "limit for a command line that was begun but not finished, 0 for none", .normally = "300",
     .checked_number = number_range{1, 31'536'000}},
    {.name = "min-data-rate", .takes = one, .placeholder = "<bytes>", .in = smtp_server,
     .text = "bytes per second that a client must achieve on average while it sends a message, the first minute not "
             "counted, 0 for none",
     .normally = "500", .checked_number = number_range{1, 1'000'000'000}},
    {.name = "max-pending-replies", .takes = one, .placeholder = "<bytes>", .in = smtp_server,
     .text = "replies held for a client that does not read them, before it is not listened to, 0 for any number",
     .normally = "65536", .checked_number = number_range{512, 1'073'741'824}},

    {.name = "pop", .letter = 'B', .in = pop_server, .text = "serve POP clients", .needs = "--pop-auth"},
    {.name = "pop-port", .letter = 'E', .takes = one, .placeholder = "<port>", .in = pop_server,
     .text = "port for POP clients", .normally = "110", .needs = "--pop"},
    {.name = "pop-auth", .letter = 'F', .takes = one, .placeholder = "<file>", .in = pop_server,
     .text = "secrets of POP clients, or pam: to ask the system", .needs = "--pop"},
    {.name = "pop-by-name", .letter = 'J', .in = pop_server,
     .text = "give each user the sub-directory of the spool that has the user's name", .needs = "--pop"},
    {.name = "pop-no-delete", .letter = 'G', .in = pop_server,
     .text = "let POP clients delete, but keep the messages", .needs = "--pop"},
    {.name = "pop-tls-connection", .in = pop_server, .text = "speak TLS from the first byte on the POP port",
     .needs = "--pop and --server-tls or --server-tls-connection"},

    {.name = "admin", .letter = 'a', .takes = one, .placeholder = "<port>", .in = admin_server,
     .text = "serve administration commands on this port"},
    {.name = "admin-terminate", .letter = 'Q', .in = admin_server,
     .text = "allow the terminate command", .needs = "--admin"},

    {.name = "server-auth", .letter = 'S', .takes = one, .placeholder = "<file>", .in = authentication,
     .text = "secrets of SMTP clients, who must then authenticate, or pam: to ask the system"},
    {.name = "server-auth-config", .takes = one, .placeholder = "<config>", .in = authentication,
     .text = "mechanisms offered to clients: m:, x:, a: and d: lists with semicolons between them",
     .needs = "--server-auth"},
    {.name = "client-auth", .letter = 'C', .takes = one, .placeholder = "<file>", .in = authentication,
     .text = "secret to authenticate with when sending: a file or plain:<base64>:<base64>"},
    {.name = "client-auth-config", .takes = one, .placeholder = "<config>", .in = authentication,
     .text = "mechanisms used when sending: m:, x:, a: and d: lists with semicolons between them",
     .needs = "--client-auth"},

    {.name = "server-tls", .letter = 'K', .in = tls, .text = "offer STARTTLS to clients",
     .needs = "--server-tls-certificate"},
    {.name = "server-tls-connection", .in = tls, .text = "speak TLS from the first byte on the SMTP port",
     .needs = "--server-tls-certificate"},
    {.name = "server-tls-required", .in = tls, .text = "refuse mail and authentication without TLS",
     .needs = "--server-tls or --server-tls-connection"},
    {.name = "server-tls-certificate", .takes = list, .placeholder = "<file>", .in = tls,
     .text = "PEM file with key and certificates, or given twice: key, then certificates"},
    {.name = "server-tls-verify", .takes = one, .placeholder = "<ca>", .in = tls,
     .text = "authorities for certificates of clients: file, directory, <default> or <none>"},
    {.name = "client-tls", .letter = 'j', .in = tls, .text = "use STARTTLS when the server offers it"},
    {.name = "client-tls-connection", .letter = 'b', .in = tls,
     .text = "speak TLS from the first byte when sending"},
    {.name = "client-tls-required", .in = tls, .text = "send nothing without TLS",
     .needs = "--client-tls or --client-tls-connection"},
    {.name = "client-tls-certificate", .takes = list, .placeholder = "<file>", .in = tls,
     .text = "PEM file with key and certificates, or given twice: key, then certificates"},
    {.name = "client-tls-verify", .takes = one, .placeholder = "<ca>", .in = tls,
     .text = "authorities for the server's certificate: file, directory, <default> or <none>"},
    {.name = "client-tls-verify-name", .takes = one, .placeholder = "<name>", .in = tls,
     .text = "name that the server's certificate must have", .needs = "--client-tls-verify"},
    {.name = "client-tls-server-name", .takes = one, .placeholder = "<name>", .in = tls,
     .text = "name of the server to ask for in the handshake"},
    {.name = "tls-config", .letter = '9', .takes = list, .placeholder = "<keywords>", .in = tls,
     .text = "choice of library and protocol versions", .belongs_to = whole_process},

    {.name = "dont-serve", .letter = 'x', .in = process, .text = "do not listen for anything"},
    {.name = "no-smtp", .letter = 'X', .in = process, .text = "do not listen for SMTP clients"},
    {.name = "no-daemon", .letter = 't', .in = process, .text = "stay in the foreground",
     .belongs_to = whole_process},
    {.name = "pid-file", .letter = 'i', .takes = list, .placeholder = "<file>", .in = process,
     .text = "file for the process id", .belongs_to = whole_process},
    {.name = "user", .letter = 'u', .takes = one, .placeholder = "<name>", .in = process,
     .text = "user to become when started as root; root stays root", .normally = "daemon",
     .only_on = platform::posix, .belongs_to = whole_process},
    {.name = "threads", .takes = one, .placeholder = "<count>", .in = process,
     .text = "threads that serve connections", .normally = "one for each processor core",
     .belongs_to = whole_process, .checked_number = number_range{1, 1024}},
    {.name = "no-sandbox", .in = process,
     .text = "keep all that the system lets the process do, also what it has no use for",
     .belongs_to = whole_process},
    {.name = "check-config", .in = process,
     .text = "check the configuration and the files that it names, say what would run, and end",
     .belongs_to = whole_process},
    {.name = "env", .in = process,
     .text = "take options that are not given otherwise from variables EMAILRELAY_<OPTION>, or from the files that "
             "EMAILRELAY_<OPTION>_FILE names",
     .belongs_to = whole_process},
    {.name = "localedir", .takes = one, .placeholder = "<dir>", .in = process, .text = "directory of translations",
     .only_on = platform::posix, .belongs_to = whole_process},
    {.name = "hidden", .letter = 'H', .in = process, .text = "no window and no message boxes",
     .needs = "--no-daemon", .only_on = platform::windows, .belongs_to = whole_process, .built = later},
    {.name = "show", .takes = one, .placeholder = "<style>", .in = process,
     .text = "start as hidden, popup, window, tray or \"window,tray\"", .only_on = platform::windows,
     .belongs_to = whole_process, .built = later},

    {.name = "log", .letter = 'l', .in = logging, .text = "log to the standard error stream and to syslog",
     .brief = 7, .belongs_to = whole_process},
    {.name = "verbose", .letter = 'v', .in = logging,
     .text = "log more, given twice still more; with --help or --version show all", .brief = 5,
     .belongs_to = whole_process},
    {.name = "debug", .letter = 'g', .in = logging, .text = "log for debugging, in debug builds only",
     .needs = "--log", .belongs_to = whole_process},
    {.name = "log-time", .letter = 'L', .in = logging, .text = "put the time on each line",
     .belongs_to = whole_process},
    {.name = "log-address", .in = logging, .text = "put the address of the peer on lines about connections",
     .belongs_to = whole_process},
    {.name = "log-format", .takes = list, .placeholder = "<fields>", .in = logging,
     .text = "what to put on each line: time, unit, address, port, msgid", .belongs_to = whole_process,
     .choices = "time,unit,address,port,msgid"},
    {.name = "log-file", .letter = 'N', .takes = one, .placeholder = "<file>", .in = logging,
     .text = "log to this file instead of the standard error stream; %d stands for the date, %h for the hour",
     .belongs_to = whole_process},
    {.name = "no-syslog", .letter = 'n', .in = logging, .text = "do not log to syslog",
     .belongs_to = whole_process},
    {.name = "syslog", .letter = 'k', .takes = may_follow, .placeholder = "<facility>", .in = logging,
     .text = "log to syslog even with --no-syslog or --as-client, as mail, user, daemon or local0 to local7",
     .normally = "mail", .belongs_to = whole_process,
     .choices = "mail,user,daemon,local0,local1,local2,local3,local4,local5,local6,local7"},
    {.name = "close-stderr", .letter = 'e', .in = logging,
     .text = "close the standard error stream when the start is over", .belongs_to = whole_process},

    // A hook of the reference's own checks: scripts may give it, nothing depends on it.
    {.name = "test", .takes = one, .placeholder = "<value>", .in = process, .text = "ignored", .hidden = true,
     .belongs_to = whole_process},
    // clang-format on
};
} // namespace detail

// All rows, hidden ones and those of other platforms too.
constexpr std::span<const option> options() {
    return detail::table;
}

// A row of a program's table named in the code, checked by the compiler: row_of<table>("spool-dir"), or just
// "spool-dir" where a parameter is one.
template <const auto& Table>
class row_of {
public:
    consteval row_of(const char* name) : index_(find(name)) {}
    constexpr std::size_t index() const { return index_; }
    constexpr const option& row() const { return Table[index_]; }

private:
    static consteval std::size_t find(std::string_view name) {
        for (std::size_t i = 0; i < std::size(Table); ++i)
            if (Table[i].name == name)
                return i;
        throw "there is no such option in the table";
    }
    std::size_t index_;
};

using known_option = row_of<detail::table>;

// What a command line may hold: the options of a program that are known on a platform.
struct vocabulary {
    std::span<const option> rows;
    platform on = platform::posix;
    bool instances = false; // long names may have the name of a relay instance in front

    const option* find(std::string_view name) const; // null if there is none
    const option* find(char letter) const;
};

// That of the relay itself.
vocabulary relay_vocabulary(platform on);

std::size_t index_of(const option& row);
std::string_view title(section s);

// "--port=<port>", "--syslog[=<facility>]", "--log".
std::string shape(const option& row);

// The description and, when `full`, default, equivalents, requirements and whether it is still to come.
std::string description(const option& row, bool full);

} // namespace config
