// The engines alone, to have their instructions counted (bench/suite/engines.py runs it under callgrind,
// twice, and takes the difference, so that what the start costs does not count).
//
//   bench_engines server|client|client-pipelined|envelope-write|envelope-read|journal-record COUNT
//
// One unit is one message of 4 KB: a session's MAIL to 250, the sending of one over an open connection, an
// envelope written or read, the record of a message in the journal.
#include "mail/envelope.hpp"
#include "smtp/client_engine.hpp"
#include "smtp/server_engine.hpp"
#include "spool/journal_format.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <functional>
#include <map>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

namespace {

class silent_log : public base::log_sink {
public:
    bool wants(base::severity, base::detail) const noexcept override { return false; }
    void write(base::severity, const base::log_context&, std::string_view) override {}
};

std::string some_content() {
    std::string content = "Subject: some octets\r\n\r\n";
    while (content.size() < 4096)
        content += "A line of some length, as mail has them, with nothing to be done to it at all.\r\n";
    return content;
}

mail::envelope some_envelope() {
    mail::envelope e;
    e.content = mail::body_type::eight_bit;
    e.from = "sender@example.com";
    e.to_remote = {"recipient@example.net"};
    e.client = "127.0.0.1";
    return e;
}

void check(bool right, std::string_view what) {
    if (!right)
        throw std::runtime_error(std::string(what));
}

// Plays the driver: files and verifiers that are always content.
std::size_t serve(smtp::server_engine& engine, std::string_view input) {
    std::size_t committed = 0;
    engine.feed(input);
    for (;;) {
        const smtp::server_action action = engine.next();
        if (std::holds_alternative<smtp::read_more>(action))
            break;
        if (const auto* asked = std::get_if<smtp::check_recipient>(&action)) {
            smtp::recipient_verdict verdict;
            verdict.address = asked->address;
            engine.recipient_checked(std::move(verdict));
        } else if (std::holds_alternative<smtp::open_content>(action)) {
            engine.content_opened({});
        } else if (std::holds_alternative<smtp::commit_message>(action)) {
            ++committed;
            engine.message_committed({});
        } else if (std::holds_alternative<smtp::close_session>(action)) {
            throw std::runtime_error("the session has ended");
        }
    }
    engine.take_output();
    return committed;
}

void receive(std::size_t count) {
    silent_log log;
    smtp::server_settings settings;
    settings.domain = "relay.example.com";
    smtp::server_engine engine(settings, {.address = "127.0.0.1"}, base::logger(log));
    engine.start();
    serve(engine, "");
    serve(engine, "EHLO client.example.org\r\n");
    const std::string content = some_content() + ".\r\n";
    std::size_t committed = 0;
    for (std::size_t i = 0; i < count; ++i) {
        serve(engine, "MAIL FROM:<sender@example.com>\r\n");
        serve(engine, "RCPT TO:<recipient@example.net>\r\n");
        serve(engine, "DATA\r\n");
        committed += serve(engine, content);
    }
    check(committed == count, "messages are missing");
}

// A next hop that takes everything, line by line.
std::string answer(std::string_view written, bool& in_content) {
    std::string replies;
    if (in_content) {
        if (written.ends_with("\r\n.\r\n")) {
            in_content = false;
            replies = "250 taken\r\n";
        }
        return replies;
    }
    for (std::size_t end = 0; !written.empty(); written.remove_prefix(end + 1)) {
        end = written.find('\n');
        const std::string_view verb = written.substr(0, 4);
        if (verb == "EHLO")
            replies += "250-sink\r\n250-PIPELINING\r\n250 8BITMIME\r\n";
        else if (verb == "DATA")
            replies += "354 go on\r\n";
        else
            replies += "250 ok\r\n";
        in_content = verb == "DATA";
    }
    return replies;
}

void send(std::size_t count, bool pipelining) {
    silent_log log;
    smtp::client_settings settings;
    settings.helo_name = "relay.example.com";
    settings.pipelining = pipelining;
    smtp::client_engine engine(settings, base::logger(log));
    const mail::envelope envelope = some_envelope();
    const std::string content = some_content();
    std::string_view unsent;
    bool in_content = false;
    std::size_t begun = 0;
    std::size_t done = 0;
    engine.feed(std::string_view("220 sink\r\n"));
    while (done < count) {
        const smtp::client_action action = engine.next();
        if (std::holds_alternative<smtp::read_reply>(action)) {
            const std::string written = engine.take_output();
            if (!written.empty())
                engine.feed(answer(written, in_content));
        } else if (std::holds_alternative<smtp::session_ready>(action)) {
            engine.send(envelope, content.size());
            unsent = content;
            ++begun;
        } else if (const auto* wanted = std::get_if<smtp::read_content>(&action)) {
            const std::string_view piece = unsent.substr(0, wanted->at_most);
            unsent.remove_prefix(piece.size());
            engine.content(piece, unsent.empty());
        } else if (const auto* settled = std::get_if<smtp::message_done>(&action)) {
            check(settled->what == smtp::message_done::result::sent, settled->reason);
            ++done;
        } else if (const auto* failed = std::get_if<smtp::session_failed>(&action)) {
            throw std::runtime_error("the session has ended: " + failed->reason);
        }
    }
}

void write_envelopes(std::size_t count) {
    const mail::envelope e = some_envelope();
    for (std::size_t i = 0; i < count; ++i)
        check(!mail::format_envelope(e).empty(), "nothing written");
}

void read_envelopes(std::size_t count) {
    const std::string text = mail::format_envelope(some_envelope());
    for (std::size_t i = 0; i < count; ++i)
        check(mail::parse_envelope(text).has_value(), "not read");
}

void write_records(std::size_t count) {
    const std::string envelope = mail::format_envelope(some_envelope());
    const std::string content = some_content();
    const spool::record r{.id = "emailrelay.1234.5678901234.1", .envelope = envelope, .content = content};
    std::string to;
    for (std::size_t i = 0; i < count; ++i) {
        to.clear();
        spool::append_record(to, r, 1);
        spool::pad_to_block(to);
    }
}

} // namespace

int main(int argc, char** argv) {
    const std::map<std::string, std::function<void(std::size_t)>> parts{
        {"server", receive},
        {"client",
         [](std::size_t n) {
             send(n, false);
         }},
        {"client-pipelined",
         [](std::size_t n) {
             send(n, true);
         }},
        {"envelope-write", write_envelopes},
        {"envelope-read", read_envelopes},
        {"journal-record", write_records},
    };
    const auto part = argc == 3 ? parts.find(argv[1]) : parts.end();
    if (part == parts.end()) {
        fmt::print(stderr, "usage: bench_engines PART COUNT\n");
        return 2;
    }
    try {
        part->second(std::strtoul(argv[2], nullptr, 10));
    } catch (const std::exception& e) {
        fmt::print(stderr, "bench_engines: {}: {}\n", argv[1], e.what());
        return 1;
    }
}
