// What a filter is: it looks at one message in the spool, may edit its two files, and says what is to become
// of it (spec/filters-and-verifiers.md sections 1 and 2).
//
// A filter object belongs to one SMTP session or one forwarding run and lives on its worker, so it may keep a
// connection from one message to the next. It runs for one message at a time. What blocks goes through
// services::work; the files are reached through services::store (message_files.hpp), by disk threads.
#pragma once

#include "base/log.hpp"
#include "net/background.hpp"
#include "net/stream.hpp"
#include "net/worker.hpp"
#include "spool/store.hpp"

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace filter {

enum class kind {
    server,  // --filter: a message has arrived; `<id>.envelope.new`
    client,  // --client-filter: the next hop is connected; `<id>.envelope.busy`
    routing, // --client-filter, for a message with ForwardTo: before connecting; `<id>.envelope.busy`
};

// The session that a message came by, as far as milters and the like ask for it. Escaping is up to who shows
// it.
struct session_facts {
    std::string address;    // of the client, without port; path or "/" for a unix-domain peer
    std::uint16_t port = 0; // 0 for a unix-domain peer
    bool unix_domain = false;
    std::string domain;        // ours: --domain
    std::string local_address; // of ours, the one connected to
    std::uint16_t local_port = 0;
    std::string helo;         // argument of the latest HELO or EHLO
    std::string mechanism;    // of authentication, lower case; empty if there was none
    std::string identity;     // authenticated id, or trust keyword
    std::string tls_protocol; // empty without TLS
    std::string tls_cipher;
};

// One run. Valid while the run goes on.
struct job {
    kind what = kind::server;
    std::string id;
    std::string content_path;               // absolute
    std::string envelope_path;              // absolute, with its `.new` or `.busy`
    const session_facts* session = nullptr; // server filters; else null
    base::logger log;                       // of the session or run, with the message
};

struct result {
    enum class outcome {
        ok,
        fail,
        abandon,
        interrupted, // no verdict, as the process is ending; with response and reason
    };
    outcome what = outcome::ok;
    bool special = false; // server: forward the spool now; client: the run ends with this message
    int code = 0;         // fail: of the reply, 400 to 599; 0 if the filter gives none
    std::string response; // fail: for the client. Raw text from outside; its reader escapes it
    std::string reason;   // fail: for log and envelope. Raw too

    static result ok(bool special = false) { return {outcome::ok, special, 0, {}, {}}; }
    static result abandon(bool special = false) { return {outcome::abandon, special, 0, {}, {}}; }
    static result interrupted() { return {outcome::interrupted, false, 0, "error", "interrupted"}; }
    static result fail(std::string response, std::string reason, int code = 0) {
        return {outcome::fail, false, code, std::move(response), std::move(reason)};
    }
};

class filter {
public:
    virtual ~filter() = default;

    // As it stands in log lines: "name.sh", "127.0.0.1/10025/ip", "copy:".
    virtual const std::string& name() const noexcept = 0;

    // Ends by itself within services::timeout. Never throws: what goes wrong is a `fail`.
    virtual net::awaitable<result> run(const job& now) = 0;

    // The run that is going on ends soon, with whatever result; nobody will look at it.
    virtual void interrupt() {}
};

// What filters work with; all outlive them.
struct services {
    net::worker& on;
    net::background& work; // the disk pool
    spool::store& store;
    std::chrono::seconds timeout; // --filter-timeout: of one run, and of a connection; 0 = none
};

// Makes a filter for one session or run; one for each item of --filter or --client-filter, made from the
// configuration once. Used by all threads at a time.
using maker = std::function<std::unique_ptr<filter>(const services&)>;
using makers = std::vector<maker>;

// "filter", "client-filter" or "routing-filter": in front of log lines.
std::string_view prefix_of(kind what);

} // namespace filter
