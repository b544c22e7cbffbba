// The client engine: one `state` for what the session is waiting for, one on_*() function per reply, in the
// order in which they come on the page.
//
// Replies are matched to commands by order alone, so a reply too many would settle the wrong message. That is
// why the engine speaks only when nothing unread is there (quiet()), and why everything unexpected ends the
// session.
//
// Seams: STARTTLS and AUTH become states between `ehlo` and `ready`. After STARTTLS the session begins again
// at say_ehlo(), which forgets what was learned in clear; quiet() already refuses what was sent ahead of the
// handshake.
#include "smtp/client_engine.hpp"

#include "base/text.hpp"
#include "smtp/content_encoder.hpp"
#include "smtp/reply_parser.hpp"

#include <algorithm>
#include <cassert>
#include <utility>

namespace smtp {

namespace {

constexpr std::size_t content_piece = 65'536;
constexpr std::uint64_t bdat_chunk = 1'000'000;

// How much goes out before the replies to it are read. Both sides may block in writing when the peer's
// replies to a pipelined group do not fit into the socket buffers (RFC 2920 section 3.1).
constexpr std::size_t pipelined_recipients = 500;
constexpr std::size_t pipelined_octets = 65'536;

// What the peer can do, as far as it matters here.
struct extensions {
    bool eight_bit_mime = false;
    bool binary_mime = false;
    bool chunking = false;
    bool pipelining = false;
    bool smtp_utf8 = false;

    void learn(std::string_view line) {
        const std::string_view keyword = line.substr(0, line.find_first_of(" \t"));
        eight_bit_mime |= base::iequals(keyword, "8BITMIME");
        binary_mime |= base::iequals(keyword, "BINARYMIME");
        chunking |= base::iequals(keyword, "CHUNKING");
        pipelining |= base::iequals(keyword, "PIPELINING");
        smtp_utf8 |= base::iequals(keyword, "SMTPUTF8");
    }
};

// An address that would break out of its command line; an envelope edited by hand can hold one.
bool breaks_line(std::string_view address) {
    return address.find_first_of(std::string_view("\r\n\0", 3)) != std::string_view::npos;
}

message_done refusal(const reply_parser::reply& reply) {
    return {message_done::result::refused, reply.text(), reply.code, {}};
}

} // namespace

struct client_engine::impl {
    using reply_type = reply_parser::reply;

    enum class state {
        greeting,
        ehlo,
        helo,
        ready,
        mail,
        rcpt,
        drain, // MAIL is refused, replies to the RCPTs sent with it are to come
        data,
        content,
        chunk,       // content of a BDAT
        chunk_reply, // ... that is not the last
        final_reply,
        reset,
        over,
        failed,
    };

    impl(const client_settings& s, base::logger l)
        : settings(s), log(std::move(l)), replies(s.max_reply_line, s.max_reply_lines) {}

    client_action next();
    bool take_reply();
    void on_reply(const reply_type& reply);
    void on_ehlo(const reply_type& reply);
    void on_mail(const reply_type& reply);
    void on_rcpt(const reply_type& reply);
    void on_drain();
    void on_data(const reply_type& reply);
    void on_chunk(const reply_type& reply);
    void on_final(const reply_type& reply);

    void say_ehlo();
    void send(const mail::envelope& e, std::uint64_t size);
    std::string_view obstacle();
    std::string mail_command() const;
    void say_recipients();
    void recipients_done();
    void say_chunk();
    void content(std::span<const char> bytes, bool last);
    void chunk_content(std::span<const char> bytes, bool last);

    void refuse(message_done with);
    void fail_message(std::string_view reason);
    void delivered();
    void fail(std::string reason);
    void unexpected(std::string_view text);
    bool quiet();
    void say(std::string_view line);
    void log_received(std::string_view line) const;

    client_settings settings;
    base::logger log;
    reply_parser replies;
    std::string out;
    state now = state::greeting;
    bool greeting_due = true;          // it may still come, although EHLO has been sent
    bool was_ready = false;            // the session has started
    bool reading = false;              // the driver has been asked for the reply that is due
    std::optional<std::string> closed; // why nothing more will come
    extensions peer;
    bool warned_eight_bit = false;

    // The message in hand; `outcome` is what became of it, until next() has said so.
    const mail::envelope* message = nullptr;
    std::optional<message_done> outcome;
    bool binary = false;      // by BDAT
    std::size_t asked = 0;    // recipients sent in RCPT
    std::size_t answered = 0; // ... and answered
    std::vector<std::string> refused;
    int refused_code = 0; // of the last refused recipient
    content_encoder encoder;
    std::uint64_t size_left = 0;  // content not yet announced in a BDAT
    std::uint64_t chunk_left = 0; // content of this BDAT

    std::string failure;
    bool failed_in_hand = false;
};

// ---- what comes next

client_action client_engine::impl::next() {
    for (;;) {
        if (outcome && (now == state::ready || now == state::failed)) {
            message_done done = std::move(*outcome);
            outcome.reset();
            message = nullptr;
            return done;
        }
        switch (now) {
        case state::failed:
            return session_failed{failure, failed_in_hand};
        case state::over:
            return session_over{};
        case state::ready:
            if (!quiet())
                break;
            if (!closed)
                return session_ready{};
            fail(*closed);
            break;
        case state::content:
        case state::chunk:
            if (!closed)
                return read_content{now == state::content ? content_piece
                                                          : static_cast<std::size_t>(std::min<std::uint64_t>(
                                                                chunk_left, content_piece))};
            fail(*closed);
            break;
        default:
            if (take_reply())
                break;
            return read_reply{now == state::greeting ? read_reply::wait::greeting : read_reply::wait::reply,
                              std::exchange(reading, true)};
        }
    }
}

// False when more octets are needed.
bool client_engine::impl::take_reply() {
    for (;;) {
        switch (replies.next()) {
        case reply_parser::event::nothing:
            if (!closed)
                return false;
            fail(*closed);
            return true;
        case reply_parser::event::line:
            log_received(replies.line());
            break;
        case reply_parser::event::reply:
            log_received(replies.line());
            reading = false;
            on_reply(replies.last_reply());
            return true;
        case reply_parser::event::invalid:
            log_received(replies.line());
            fail("smtp error: invalid response");
            return true;
        case reply_parser::event::overflow:
            fail("overflow on input");
            return true;
        }
    }
}

void client_engine::impl::on_reply(const reply_type& reply) {
    if (reply.code == 421) { // the peer is about to close, whatever was asked (RFC 5321 section 3.8)
        if (message != nullptr && !outcome)
            outcome = refusal(reply);
        return unexpected(reply.text());
    }
    switch (now) {
    case state::greeting:
        if (reply.code != 220)
            return unexpected(reply.text());
        greeting_due = false;
        return say_ehlo();
    case state::ehlo:
    case state::helo:
        return on_ehlo(reply);
    case state::mail:
        return on_mail(reply);
    case state::rcpt:
        return on_rcpt(reply);
    case state::drain:
        return on_drain();
    case state::data:
        return on_data(reply);
    case state::chunk_reply:
        return on_chunk(reply);
    case state::final_reply:
        return on_final(reply);
    case state::reset:
        // Without 250 the peer may still be within the transaction, and the next message would suffer for it.
        if (reply.code != 250)
            return unexpected(reply.text());
        now = state::ready;
        return;
    case state::ready:
    case state::content:
    case state::chunk:
    case state::over:
    case state::failed:
        return unexpected(reply.text());
    }
}

// ---- session start

void client_engine::impl::say_ehlo() {
    if (!quiet())
        return;
    peer = {};
    say("EHLO " + settings.helo_name);
    now = state::ehlo;
}

void client_engine::impl::on_ehlo(const reply_type& reply) {
    if (reply.code == 220 && greeting_due) { // later than the prompt time-out, but here it is
        greeting_due = false;
        return;
    }
    if (reply.code == 250) {
        if (now == state::ehlo)
            std::for_each(reply.lines.begin() + 1, reply.lines.end(),
                          [this](const std::string& line) { peer.learn(line); });
        greeting_due = false;
        was_ready = true;
        now = state::ready;
        return;
    }
    const bool not_known = reply.code == 500 || reply.code == 501 || reply.code == 502;
    if (now == state::helo || !not_known)
        return unexpected(reply.text());
    if (!quiet())
        return;
    say("HELO " + settings.helo_name);
    now = state::helo;
}

// ---- one message

void client_engine::impl::send(const mail::envelope& e, std::uint64_t size) {
    assert(now == state::ready && !outcome);
    if (now != state::ready || !quiet())
        return;
    message = &e;
    binary = e.content == mail::body_type::binary_mime && peer.binary_mime && peer.chunking;
    asked = answered = 0;
    refused.clear();
    encoder = {};
    size_left = size;

    if (const std::string_view why = obstacle(); !why.empty())
        return fail_message(why);
    say(mail_command());
    now = state::mail;
    if (settings.pipelining && peer.pipelining)
        say_recipients();
}

// Why the message cannot be sent to this peer; empty if it can (spec/smtp-client.md section 7.2).
std::string_view client_engine::impl::obstacle() {
    if (message->to_remote.empty())
        return "no remote recipients";
    if (breaks_line(message->from) || std::ranges::any_of(message->to_remote, breaks_line))
        return "invalid address in envelope";

    if (message->content == mail::body_type::eight_bit && !peer.eight_bit_mime) {
        if (settings.eightbit_strict)
            return "cannot send 8-bit message to 7-bit server";
        if (!std::exchange(warned_eight_bit, true))
            log.warning("sending 8-bit message to 7-bit server");
    }
    if (message->content == mail::body_type::binary_mime && !binary) {
        if (settings.binarymime_strict)
            return "cannot send binarymime message to a non-chunking server";
        log.warning("sending binarymime message to a non-chunking server");
    }
    if (message->utf8_mailboxes && !peer.smtp_utf8) {
        if (settings.smtputf8_strict)
            return "cannot send utf8 message to non-smtputf8 server";
        log.warning("sending utf8 message to non-smtputf8 server");
    }
    return {};
}

std::string client_engine::impl::mail_command() const {
    std::string line = "MAIL FROM:<" + message->from + ">";
    if (peer.eight_bit_mime && message->content == mail::body_type::seven_bit)
        line += " BODY=7BIT";
    if (peer.eight_bit_mime && message->content == mail::body_type::eight_bit)
        line += " BODY=8BITMIME";
    if (binary)
        line += " BODY=BINARYMIME";
    if (peer.smtp_utf8 && message->utf8_mailboxes)
        line += " SMTPUTF8";
    return line;
}

void client_engine::impl::on_mail(const reply_type& reply) {
    const bool pipelined = asked > 0;
    if (reply.code == 250) {
        now = state::rcpt;
        if (!pipelined)
            say_recipients();
    } else if (reply.refusal()) {
        outcome = refusal(reply);
        now = pipelined ? state::drain : state::ready;
    } else {
        unexpected(reply.text());
    }
}

// One RCPT, or as many as may go at once.
void client_engine::impl::say_recipients() {
    if (!quiet())
        return;
    const bool pipelined = settings.pipelining && peer.pipelining;
    const std::size_t limit = asked + (pipelined ? pipelined_recipients : 1);
    do {
        say("RCPT TO:<" + message->to_remote[asked++] + ">");
    } while (asked < std::min(limit, message->to_remote.size()) && out.size() < pipelined_octets);
}

void client_engine::impl::on_rcpt(const reply_type& reply) {
    if (reply.refusal()) {
        refused.push_back(message->to_remote[answered]);
        refused_code = reply.code;
    }
    ++answered;
    if (answered < asked)
        return;
    if (asked < message->to_remote.size())
        return say_recipients();
    recipients_done();
}

void client_engine::impl::on_drain() {
    if (++answered == asked)
        now = state::ready;
}

// Spec/smtp-client.md section 7.4.
void client_engine::impl::recipients_done() {
    const bool all_refused = refused.size() == message->to_remote.size();
    if (!refused.empty() && !settings.forward_to_some)
        return refuse({message_done::result::refused, "one or more recipients rejected", refused_code, {}});
    if (all_refused)
        return refuse({message_done::result::refused, "all recipients rejected", refused_code, {}});
    if (binary)
        return say_chunk();
    if (!quiet())
        return;
    say("DATA");
    now = state::data;
}

void client_engine::impl::on_data(const reply_type& reply) {
    if (reply.code == 354)
        now = state::content;
    else if (reply.refusal())
        refuse(refusal(reply));
    else
        unexpected(reply.text());
}

void client_engine::impl::content(std::span<const char> bytes, bool last) {
    if (now == state::chunk)
        return chunk_content(bytes, last);
    assert(now == state::content);
    if (now != state::content)
        return;
    encoder.encode(bytes, out);
    if (!last || !quiet()) // a reply that is there already is not an answer to the end of data
        return;
    encoder.finish(out);
    log.verbose("tx>>: [{} line(s) of content]", encoder.lines());
    log.verbose("tx>>: \".\"");
    now = state::final_reply;
}

// RFC 3030: the content goes as it is, its length first.
void client_engine::impl::say_chunk() {
    if (!quiet())
        return;
    chunk_left = std::min(size_left, bdat_chunk);
    size_left -= chunk_left;
    const std::string command = fmt::format("BDAT {}{}", chunk_left, size_left == 0 ? " LAST" : "");
    out += command;
    out += "\r\n";
    log.verbose("tx>>: \"{}\" [{} bytes]", command, chunk_left);
    now = chunk_left != 0 ? state::chunk : state::final_reply;
}

void client_engine::impl::chunk_content(std::span<const char> bytes, bool last) {
    assert(bytes.size() <= chunk_left);
    const auto size = static_cast<std::size_t>(std::min<std::uint64_t>(bytes.size(), chunk_left));
    out.append(bytes.data(), size);
    chunk_left -= size;
    if (last && chunk_left + size_left > 0)
        return fail("content is shorter than announced");
    if (chunk_left == 0 && quiet())
        now = size_left == 0 ? state::final_reply : state::chunk_reply;
}

void client_engine::impl::on_chunk(const reply_type& reply) {
    if (reply.code == 250)
        say_chunk();
    else if (reply.refusal())
        refuse(refusal(reply));
    else
        unexpected(reply.text());
}

void client_engine::impl::on_final(const reply_type& reply) {
    if (reply.code >= 200 && reply.code < 300)
        return delivered();
    if (binary) // the transaction is not over after a refused BDAT (RFC 3030 section 2)
        return refuse(refusal(reply));
    outcome = refusal(reply);
    now = state::ready;
}

// ---- what becomes of the message and the session

void client_engine::impl::delivered() {
    outcome.emplace();
    if (!refused.empty()) {
        outcome->what = message_done::result::sent_to_some;
        outcome->reason = "one or more recipients rejected";
        outcome->refused = std::move(refused);
        log.warning("smtp client protocol: {}", outcome->reason);
    }
    now = state::ready;
}

// Refused within the transaction: it is abandoned, then the session is ready again.
void client_engine::impl::refuse(message_done with) {
    outcome = std::move(with);
    if (!quiet())
        return;
    say("RSET");
    now = state::reset;
}

// For a local reason, before anything was sent.
void client_engine::impl::fail_message(std::string_view reason) {
    log.warning("smtp client protocol: {}", reason);
    outcome = message_done{message_done::result::failed, std::string(reason), std::nullopt, {}};
}

void client_engine::impl::fail(std::string reason) {
    if (now == state::failed || now == state::over)
        return;
    failure = std::move(reason);
    failed_in_hand = !outcome && (message != nullptr || !was_ready);
    out.clear();
    now = state::failed;
}

void client_engine::impl::unexpected(std::string_view text) {
    log.warning("client protocol: unexpected response [{}]", base::printable(text));
    fail(fmt::format("smtp error: unexpected response: {}", text));
}

// Nothing has come that was not asked for; otherwise the session fails. To be asked before anything is said.
bool client_engine::impl::quiet() {
    if (greeting_due || replies.idle())
        return true;
    for (;;) {
        switch (replies.next()) {
        case reply_parser::event::line:
            log_received(replies.line());
            break;
        case reply_parser::event::reply:
            log_received(replies.line());
            unexpected(replies.last_reply().text());
            return false;
        case reply_parser::event::overflow:
            fail("overflow on input");
            return false;
        case reply_parser::event::nothing:
            unexpected(replies.rest());
            return false;
        case reply_parser::event::invalid:
            unexpected(replies.line());
            return false;
        }
    }
}

void client_engine::impl::say(std::string_view line) {
    out += line;
    out += "\r\n";
    if (log.wants_verbose())
        log.verbose("tx>>: \"{}\"", base::printable(line));
}

void client_engine::impl::log_received(std::string_view line) const {
    if (log.wants_verbose())
        log.verbose("rx<<: \"{}\"", base::printable(line));
}

// ---- the interface

client_engine::client_engine(const client_settings& settings, base::logger log)
    : impl_(std::make_unique<impl>(settings, std::move(log))) {}
client_engine::~client_engine() = default;
client_engine::client_engine(client_engine&&) noexcept = default;
client_engine& client_engine::operator=(client_engine&&) noexcept = default;

void client_engine::feed(std::span<const char> bytes) {
    impl_->replies.feed(bytes);
}

client_action client_engine::next() {
    return impl_->next();
}

void client_engine::send(const mail::envelope& envelope, std::uint64_t content_size) {
    impl_->send(envelope, content_size);
}

void client_engine::quit() {
    assert(impl_->now == impl::state::ready || impl_->now == impl::state::failed);
    if (impl_->now != impl::state::ready)
        return;
    impl_->say("QUIT");
    impl_->now = impl::state::over;
}

void client_engine::content(std::span<const char> bytes, bool last) {
    impl_->content(bytes, last);
}

void client_engine::content_failed(std::string reason) {
    impl_->fail(std::move(reason));
}

void client_engine::timed_out(unsigned seconds) {
    if (impl_->now != impl::state::greeting)
        return impl_->fail(fmt::format("smtp error: response timeout after {}s", seconds));
    impl_->log.warning("timeout: no greeting from remote server after {}s: continuing", seconds);
    impl_->reading = false;
    impl_->say_ehlo();
}

void client_engine::disconnected(std::string_view reason) {
    impl_->closed = reason.empty() ? "peer disconnected" : reason;
}

std::string client_engine::take_output() {
    return std::exchange(impl_->out, {});
}

bool client_engine::has_output() const noexcept {
    return !impl_->out.empty();
}

void client_engine::set_logger(base::logger log) {
    impl_->log = std::move(log);
}

} // namespace smtp
