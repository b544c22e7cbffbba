// The client engine: one `state` for what the session is waiting for, one on_*() function per reply, in the
// order in which they come on the page.
//
// Replies are matched to commands by order alone, so a reply too many would settle the wrong message. That is
// why the engine speaks only when nothing unread is there (quiet()), and why everything unexpected ends the
// session.
//
// After the handshake the session begins again at say_ehlo(), which forgets what was learned in clear;
// quiet() refuses what was sent ahead of it.
#include "smtp/client_engine.hpp"

#include "base/text.hpp"
#include "sasl/channel_bindings.hpp"
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
    bool start_tls = false;
    std::optional<std::vector<std::string>> mechanisms; // absent without AUTH

    void learn(std::string_view line) {
        const std::string_view keyword = line.substr(0, line.find_first_of(" \t"));
        eight_bit_mime |= base::iequals(keyword, "8BITMIME");
        binary_mime |= base::iequals(keyword, "BINARYMIME");
        chunking |= base::iequals(keyword, "CHUNKING");
        pipelining |= base::iequals(keyword, "PIPELINING");
        smtp_utf8 |= base::iequals(keyword, "SMTPUTF8");
        start_tls |= base::iequals(keyword, "STARTTLS");
        if (base::iequals(keyword, "AUTH")) {
            if (!mechanisms)
                mechanisms.emplace();
            for (std::string& name : base::split(line.substr(keyword.size()), ' '))
                mechanisms->emplace_back(base::trim(name));
        }
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
        starttls,
        handshake,
        auth,
        computing,
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
        : settings_(s), log_(std::move(l)),
          state_(s.tls == tls_mode::implicit ? state::handshake : state::greeting),
          replies_(s.max_reply_line, s.max_reply_lines) {}

    client_action next();
    std::size_t next_piece() const;
    bool take_reply();
    void on_reply(const reply_type& reply);
    void on_ehlo(const reply_type& reply);
    void on_starttls(const reply_type& reply);
    void on_mail(const reply_type& reply);
    void on_rcpt(const reply_type& reply);
    void on_drain();
    void on_data(const reply_type& reply);
    void on_chunk(const reply_type& reply);
    void on_final(const reply_type& reply);

    void say_ehlo();
    void say_starttls();
    void tls_established();
    void session_begins();
    void go_on_with_login(client_login::step now);
    void ready();
    void send(const mail::envelope& e, std::uint64_t size);
    bool follow(const mail::envelope& e, std::uint64_t size);
    void quit();
    void take_in_hand(const mail::envelope& e, std::uint64_t size);
    void say_mail();
    bool pipelined() const { return settings_.pipelining && peer_.pipelining; }
    bool next_has_begun() const { return state_ == state::mail && message_.ahead; }
    bool has_message() const { return message_.envelope != nullptr && (ended_ || !message_.ahead); }
    std::string_view obstacle();
    std::string mail_command() const;
    std::string submitter() const;
    void say_recipients();
    void recipients_done();
    void say_chunk();
    void content(std::span<const char> bytes, bool last);
    void chunk_content(std::span<const char> bytes, bool last);

    void refuse(message_done with);
    void fail_message(std::string_view reason);
    void delivered();
    void message_over();
    void fail(std::string reason);
    void unexpected(std::string_view text);
    bool quiet();
    void say(std::string_view line);
    void log_received(std::string_view line) const;

    client_settings settings_;
    base::logger log_;

    // session
    state state_;
    extensions peer_;
    bool encrypted_ = false;
    std::vector<sasl::channel_binding> bindings_; // of the encrypted session
    bool greeting_due_ = true;                    // it may still come, although EHLO has been sent
    bool was_ready_ = false;                      // the session has started
    std::optional<client_login> login_;
    bool logged_in_ = false;
    bool secret_given_ = false; // output since the last take_output() had one
    bool warned_eight_bit_ = false;
    std::string failure_;
    bool failed_in_hand_ = false;

    // message
    struct in_hand {
        const mail::envelope* envelope = nullptr; // null: no message
        bool ahead = false;                       // begun behind another, MAIL is not answered yet
        bool binary = false;                      // by BDAT
        std::size_t asked = 0;                    // recipients sent in RCPT
        std::size_t answered = 0;                 // ... and answered
        std::vector<std::string> refused;
        int refused_code = 0; // of the last refused recipient
        content_encoder encoder;
        std::uint64_t size_left = 0;  // content not yet sent behind DATA, or not yet announced in a BDAT
        std::uint64_t chunk_left = 0; // content of this BDAT
    };
    in_hand message_;
    std::optional<in_hand> ended_;        // the one before, as long as the reply to its data is due
    std::optional<message_done> outcome_; // what became of a message, until next() has said so

    // in and out
    reply_parser replies_;
    bool reading_ = false;              // the driver has been asked for the reply that is due
    std::optional<std::string> closed_; // why nothing more will come
    std::string output_;
};

// ---- what comes next

client_action client_engine::impl::next() {
    for (;;) {
        if (outcome_ && (state_ == state::ready || state_ == state::failed || next_has_begun())) {
            message_done done = std::move(*outcome_);
            outcome_.reset();
            if (!next_has_begun())
                message_ = {};
            return done;
        }
        switch (state_) {
        case state::failed:
            return session_failed{failure_, failed_in_hand_};
        case state::over:
            return session_over{};
        case state::handshake:
            return start_tls{};
        case state::computing:
            return compute{[login = &*login_] {
                login->compute();
            }};
        case state::ready:
            if (!quiet())
                break;
            if (!closed_)
                return session_ready{};
            fail(*closed_);
            break;
        case state::content:
        case state::chunk:
            if (!closed_)
                return read_content{next_piece()};
            fail(*closed_);
            break;
        default:
            if (take_reply())
                break;
            return read_reply{state_ == state::greeting ? read_reply::wait::greeting
                                                        : read_reply::wait::reply,
                              std::exchange(reading_, true)};
        }
    }
}

std::size_t client_engine::impl::next_piece() const {
    if (state_ == state::content)
        return content_piece;
    return static_cast<std::size_t>(std::min<std::uint64_t>(message_.chunk_left, content_piece));
}

// False when more octets are needed.
bool client_engine::impl::take_reply() {
    for (;;) {
        switch (replies_.next()) {
        case reply_parser::event::nothing:
            if (!closed_)
                return false;
            fail(*closed_);
            return true;
        case reply_parser::event::line:
            log_received(replies_.line());
            break;
        case reply_parser::event::reply:
            log_received(replies_.line());
            reading_ = false;
            on_reply(replies_.last_reply());
            return true;
        case reply_parser::event::invalid:
            log_received(replies_.line());
            fail("smtp error: invalid response");
            return true;
        case reply_parser::event::overflow:
            fail("overflow on input");
            return true;
        }
    }
}

void client_engine::impl::on_reply(const reply_type& reply) {
    if (reply.code == 421 &&
        state_ != state::starttls) { // the peer is about to close, whatever was asked (RFC 5321 section 3.8)
        if (has_message() && !outcome_)
            outcome_ = refusal(reply);
        return unexpected(reply.text());
    }
    switch (state_) {
    case state::greeting:
        if (reply.code != 220)
            return unexpected(reply.text());
        greeting_due_ = false;
        return say_ehlo();
    case state::ehlo:
    case state::helo:
        return on_ehlo(reply);
    case state::starttls:
        return on_starttls(reply);
    case state::auth:
        return go_on_with_login(login_->on_reply(reply.code, reply.text()));
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
        state_ = state::ready;
        return;
    case state::handshake:
    case state::computing:
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
    peer_ = {};
    say("EHLO " + settings_.helo_name);
    state_ = state::ehlo;
}

void client_engine::impl::on_ehlo(const reply_type& reply) {
    if (reply.code == 220 && greeting_due_) { // later than the prompt time-out, but here it is
        greeting_due_ = false;
        return;
    }
    if (reply.code == 250) {
        if (state_ == state::ehlo)
            std::for_each(reply.lines.begin() + 1, reply.lines.end(),
                          [this](const std::string& line) { peer_.learn(line); });
        greeting_due_ = false;
        if (settings_.tls == tls_mode::starttls && !encrypted_)
            return say_starttls();
        return session_begins();
    }
    const bool not_known = reply.code == 500 || reply.code == 501 || reply.code == 502;
    if (state_ == state::helo || !not_known)
        return unexpected(reply.text());
    if (!quiet())
        return;
    say("HELO " + settings_.helo_name);
    state_ = state::helo;
}

// Where the server does not offer it the session goes on in clear, unless that is forbidden.
void client_engine::impl::say_starttls() {
    if (!peer_.start_tls && !settings_.tls_required)
        return session_begins();
    if (!peer_.start_tls)
        return fail(fmt::format("tls is mandated but the server cannot do {}",
                                state_ == state::helo ? "esmtp" : "starttls"));
    if (!quiet())
        return;
    say("STARTTLS");
    state_ = state::starttls;
}

// Nothing may stand behind the reply: it would have been said in clear, by anybody, and be taken for an
// answer given in the encrypted session.
void client_engine::impl::on_starttls(const reply_type& reply) {
    if (reply.refusal())
        return fail(fmt::format("tls/ssl error: {}", reply.text()));
    if (reply.code != 220)
        return unexpected(reply.text());
    if (quiet())
        state_ = state::handshake;
}

void client_engine::impl::tls_established() {
    assert(state_ == state::handshake);
    encrypted_ = true;
    if (settings_.tls == tls_mode::implicit)
        state_ = state::greeting;
    else
        say_ehlo();
}

void client_engine::impl::session_begins() {
    if (!login_)
        return ready();
    client_login::surroundings now;
    now.offered = peer_.mechanisms;
    now.encrypted = encrypted_;
    now.bindings = bindings_;
    go_on_with_login(login_->begin(std::move(now)));
}

void client_engine::impl::go_on_with_login(client_login::step now) {
    if (auto* what = std::get_if<client_login::say>(&now)) {
        if (!quiet())
            return;
        output_.reserve(output_.size() + what->line.size() + 2); // no copy of a password is left behind
        output_ += what->line.view();
        output_ += "\r\n";
        secret_given_ = true;
        log_.verbose("tx>>: {}", what->for_log);
        state_ = state::auth;
    } else if (std::holds_alternative<client_login::work>(now)) {
        state_ = state::computing;
    } else if (auto* failure = std::get_if<client_login::failed>(&now)) {
        fail(std::move(failure->reason));
    } else {
        if (std::holds_alternative<client_login::logged_in>(now)) {
            log_.verbose("successful authentication with remote server {}using {}",
                         encrypted_ ? "over tls " : "", login_->description());
            logged_in_ = true;
        }
        ready();
    }
}

void client_engine::impl::ready() {
    was_ready_ = true;
    state_ = state::ready;
}

// ---- one message

void client_engine::impl::send(const mail::envelope& e, std::uint64_t size) {
    assert(!outcome_);
    if (message_.ahead)
        message_.envelope = &e;
    if (state_ != state::ready || !quiet())
        return;
    take_in_hand(e, size);
    if (const std::string_view why = obstacle(); !why.empty())
        return fail_message(why);
    say_mail();
    state_ = state::mail;
}

// BDAT is left out: a refused one needs a RSET before anything else is said.
bool client_engine::impl::follow(const mail::envelope& e, std::uint64_t size) {
    if (state_ != state::final_reply || ended_ || message_.binary || !pipelined() || !quiet())
        return false;
    ended_ = std::move(message_);
    take_in_hand(e, size);
    message_.ahead = true;
    if (!obstacle().empty()) {
        message_ = std::move(*ended_);
        ended_.reset();
        return false;
    }
    say_mail();
    return true;
}

void client_engine::impl::take_in_hand(const mail::envelope& e, std::uint64_t size) {
    message_ = {};
    message_.envelope = &e;
    message_.binary = e.content == mail::body_type::binary_mime && peer_.binary_mime && peer_.chunking;
    message_.size_left = size;
}

void client_engine::impl::say_mail() {
    say(mail_command());
    if (pipelined())
        say_recipients();
}

void client_engine::impl::quit() {
    assert(state_ == state::ready || state_ == state::failed || next_has_begun());
    if (state_ != state::ready && !next_has_begun())
        return;
    say("QUIT");
    state_ = state::over;
}

// Why the message cannot be sent to this peer; empty if it can (spec/smtp-client.md section 7.2).
std::string_view client_engine::impl::obstacle() {
    const mail::envelope& e = *message_.envelope;
    if (e.to_remote.empty())
        return "no remote recipients";
    if (breaks_line(e.from) || std::ranges::any_of(e.to_remote, breaks_line))
        return "invalid address in envelope";

    if (e.content == mail::body_type::eight_bit && !peer_.eight_bit_mime) {
        if (settings_.eightbit_strict)
            return "cannot send 8-bit message to 7-bit server";
        if (!std::exchange(warned_eight_bit_, true))
            log_.warning("sending 8-bit message to 7-bit server");
    }
    if (e.content == mail::body_type::binary_mime && !message_.binary) {
        if (settings_.binarymime_strict)
            return "cannot send binarymime message to a non-chunking server";
        log_.warning("sending binarymime message to a non-chunking server");
    }
    if (e.utf8_mailboxes && !peer_.smtp_utf8) {
        if (settings_.smtputf8_strict)
            return "cannot send utf8 message to non-smtputf8 server";
        log_.warning("sending utf8 message to non-smtputf8 server");
    }
    return {};
}

std::string client_engine::impl::mail_command() const {
    const mail::envelope& e = *message_.envelope;
    std::string line = "MAIL FROM:<" + e.from + ">";
    if (peer_.eight_bit_mime && e.content == mail::body_type::seven_bit)
        line += " BODY=7BIT";
    if (peer_.eight_bit_mime && e.content == mail::body_type::eight_bit)
        line += " BODY=8BITMIME";
    if (message_.binary)
        line += " BODY=BINARYMIME";
    if (peer_.smtp_utf8 && e.utf8_mailboxes)
        line += " SMTPUTF8";
    if (logged_in_)
        line += " AUTH=" + submitter();
    return line;
}

// Who submitted the message, as far as it is known and shall be (RFC 4954 section 5).
std::string client_engine::impl::submitter() const {
    const std::string& given = message_.envelope->mail_from_auth_out;
    if (settings_.anonymous)
        return "<>";
    if (given.empty())
        return base::xtext_encode(login_->id());
    return base::xtext_decode(given) ? given : "<>";
}

void client_engine::impl::on_mail(const reply_type& reply) {
    const bool recipients_said = message_.asked > 0;
    if (reply.code == 250) {
        message_.ahead = false;
        state_ = state::rcpt;
        if (!recipients_said)
            say_recipients();
    } else if (reply.refusal()) {
        message_.ahead = false;
        outcome_ = refusal(reply);
        state_ = recipients_said ? state::drain : state::ready;
    } else {
        unexpected(reply.text());
    }
}

// One RCPT, or as many as may go at once.
void client_engine::impl::say_recipients() {
    if (!quiet())
        return;
    const std::size_t limit = message_.asked + (pipelined() ? pipelined_recipients : 1);
    do {
        say("RCPT TO:<" + message_.envelope->to_remote[message_.asked++] + ">");
    } while (message_.asked < std::min(limit, message_.envelope->to_remote.size()) &&
             output_.size() < pipelined_octets);
}

void client_engine::impl::on_rcpt(const reply_type& reply) {
    if (reply.refusal()) {
        message_.refused.push_back(message_.envelope->to_remote[message_.answered]);
        message_.refused_code = reply.code;
    }
    ++message_.answered;
    if (message_.answered < message_.asked)
        return;
    if (message_.asked < message_.envelope->to_remote.size())
        return say_recipients();
    recipients_done();
}

void client_engine::impl::on_drain() {
    if (++message_.answered == message_.asked)
        state_ = state::ready;
}

// Spec/smtp-client.md section 7.4.
void client_engine::impl::recipients_done() {
    const bool all_refused = message_.refused.size() == message_.envelope->to_remote.size();
    if (!message_.refused.empty() && !settings_.forward_to_some)
        return refuse({message_done::result::recipients_refused,
                       "one or more recipients rejected",
                       message_.refused_code,
                       {}});
    if (all_refused)
        return refuse(
            {message_done::result::recipients_refused, "all recipients rejected", message_.refused_code, {}});
    if (message_.binary)
        return say_chunk();
    if (!quiet())
        return;
    say("DATA");
    state_ = state::data;
}

void client_engine::impl::on_data(const reply_type& reply) {
    if (reply.code == 354)
        state_ = state::content;
    else if (reply.refusal())
        refuse(refusal(reply));
    else
        unexpected(reply.text());
}

void client_engine::impl::content(std::span<const char> bytes, bool last) {
    if (state_ == state::chunk)
        return chunk_content(bytes, last);
    assert(state_ == state::content);
    if (state_ != state::content)
        return;
    message_.encoder.encode(bytes, output_);
    message_.size_left -= std::min<std::uint64_t>(bytes.size(), message_.size_left);
    if (last &&
        message_.size_left > 0) // somebody has cut it off meanwhile: a half is not to be taken for all
        return fail("content is shorter than announced");
    if (!last || !quiet()) // a reply that is there already is not an answer to the end of data
        return;
    message_.encoder.finish(output_);
    log_.verbose("tx>>: [{} line(s) of content]", message_.encoder.lines());
    log_.verbose("tx>>: \".\"");
    state_ = state::final_reply;
}

// RFC 3030: the content goes as it is, its length first.
void client_engine::impl::say_chunk() {
    if (!quiet())
        return;
    message_.chunk_left = std::min(message_.size_left, bdat_chunk);
    message_.size_left -= message_.chunk_left;
    const std::string command =
        fmt::format("BDAT {}{}", message_.chunk_left, message_.size_left == 0 ? " LAST" : "");
    output_ += command;
    output_ += "\r\n";
    log_.verbose("tx>>: \"{}\" [{} bytes]", command, message_.chunk_left);
    state_ = message_.chunk_left != 0 ? state::chunk : state::final_reply;
}

void client_engine::impl::chunk_content(std::span<const char> bytes, bool last) {
    assert(bytes.size() <= message_.chunk_left);
    const auto size = static_cast<std::size_t>(std::min<std::uint64_t>(bytes.size(), message_.chunk_left));
    output_.append(bytes.data(), size);
    message_.chunk_left -= size;
    if (last && message_.chunk_left + message_.size_left > 0)
        return fail("content is shorter than announced");
    if (message_.chunk_left == 0 && quiet())
        state_ = message_.size_left == 0 ? state::final_reply : state::chunk_reply;
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
    // The transaction is not over after a refused BDAT (RFC 3030 section 2). Behind one no message has begun.
    if (!ended_ && message_.binary)
        return refuse(refusal(reply));
    outcome_ = refusal(reply);
    message_over();
}

// ---- what becomes of the message and the session

void client_engine::impl::delivered() {
    in_hand& message = ended_ ? *ended_ : message_;
    outcome_.emplace();
    if (!message.refused.empty()) {
        outcome_->what = message_done::result::sent_to_some;
        outcome_->reason = "one or more recipients rejected";
        outcome_->refused = std::move(message.refused);
        log_.warning("smtp client protocol: {}", outcome_->reason);
    }
    message_over();
}

void client_engine::impl::message_over() {
    state_ = ended_ ? state::mail : state::ready;
    ended_.reset();
}

// Refused within the transaction: it is abandoned, then the session is ready again.
void client_engine::impl::refuse(message_done with) {
    outcome_ = std::move(with);
    if (!quiet())
        return;
    say("RSET");
    state_ = state::reset;
}

// For a local reason, before anything was sent.
void client_engine::impl::fail_message(std::string_view reason) {
    log_.warning("smtp client protocol: {}", reason);
    outcome_ = message_done{message_done::result::failed, std::string(reason), std::nullopt, {}};
}

void client_engine::impl::fail(std::string reason) {
    if (state_ == state::failed || state_ == state::over)
        return;
    failure_ = std::move(reason);
    failed_in_hand_ = !outcome_ && (has_message() || !was_ready_);
    output_.clear();
    state_ = state::failed;
}

void client_engine::impl::unexpected(std::string_view text) {
    log_.warning("client protocol: unexpected response [{}]", base::printable(text));
    fail(fmt::format("smtp error: unexpected response: {}", text));
}

// Nothing has come that was not asked for; otherwise the session fails. To be asked before anything is said.
bool client_engine::impl::quiet() {
    if (greeting_due_ || replies_.idle())
        return true;
    for (;;) {
        switch (replies_.next()) {
        case reply_parser::event::line:
            log_received(replies_.line());
            break;
        case reply_parser::event::reply:
            log_received(replies_.line());
            unexpected(replies_.last_reply().text());
            return false;
        case reply_parser::event::overflow:
            fail("overflow on input");
            return false;
        case reply_parser::event::nothing:
            unexpected(replies_.rest());
            return false;
        case reply_parser::event::invalid:
            unexpected(replies_.line());
            return false;
        }
    }
}

void client_engine::impl::say(std::string_view line) {
    output_ += line;
    output_ += "\r\n";
    if (log_.wants_verbose())
        log_.verbose("tx>>: \"{}\"", base::printable(line));
}

void client_engine::impl::log_received(std::string_view line) const {
    if (log_.wants_verbose())
        log_.verbose("rx<<: \"{}\"", base::printable(line));
}

// ---- the interface

client_engine::client_engine(const client_settings& settings, base::logger log)
    : impl_(std::make_unique<impl>(settings, std::move(log))) {}
client_engine::~client_engine() = default;
client_engine::client_engine(client_engine&&) noexcept = default;
client_engine& client_engine::operator=(client_engine&&) noexcept = default;

void client_engine::feed(std::span<const char> bytes) {
    impl_->replies_.feed(bytes);
}

client_action client_engine::next() {
    return impl_->next();
}

void client_engine::send(const mail::envelope& envelope, std::uint64_t content_size) {
    impl_->send(envelope, content_size);
}

bool client_engine::follow(const mail::envelope& envelope, std::uint64_t content_size) {
    return impl_->follow(envelope, content_size);
}

void client_engine::quit() {
    impl_->quit();
}

void client_engine::tls_established(const base::tls_session& session) {
    impl_->bindings_ = sasl::bindings_of(session);
    impl_->tls_established();
}

void client_engine::tls_failed(std::string reason) {
    impl_->fail(std::move(reason));
}

void client_engine::log_in(client_account as) {
    impl_->login_.emplace(std::move(as));
}

void client_engine::computed() {
    if (impl_->state_ == impl::state::computing)
        impl_->go_on_with_login(impl_->login_->computed());
}

bool client_engine::gave_secret() noexcept {
    return std::exchange(impl_->secret_given_, false);
}

void client_engine::content(std::span<const char> bytes, bool last) {
    impl_->content(bytes, last);
}

void client_engine::content_failed(std::string reason) {
    impl_->fail(std::move(reason));
}

void client_engine::timed_out(unsigned seconds) {
    if (impl_->state_ != impl::state::greeting)
        return impl_->fail(fmt::format("smtp error: response timeout after {}s", seconds));
    impl_->log_.warning("timeout: no greeting from remote server after {}s: continuing", seconds);
    impl_->reading_ = false;
    impl_->say_ehlo();
}

void client_engine::disconnected(std::string_view reason) {
    impl_->closed_ = reason.empty() ? "peer disconnected" : reason;
}

std::string client_engine::take_output() {
    return std::exchange(impl_->output_, {});
}

bool client_engine::has_output() const noexcept {
    return !impl_->output_.empty();
}

void client_engine::set_logger(base::logger log) {
    impl_->log_ = std::move(log);
}

} // namespace smtp
