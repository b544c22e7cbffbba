// The states and verbs of spec/smtp-server.md sections 3 to 5, one function per verb; replies are formed
// where they are decided. What the peer wrote is shown to it and to the log only through `untrusted` or
// base::printable().
//
// How it moves: next() takes input until something is for the driver to do. A function that receives or does
// something gives that action, or nothing when the engine can go on by itself. A question to the driver stops
// the engine until its answer.
#include "smtp/server_engine.hpp"

#include "base/base64.hpp"
#include "base/line_reader.hpp"
#include "base/text.hpp"
#include "mail/hop_counter.hpp"
#include "mail/idn.hpp"
#include "mail/received.hpp"
#include "sasl/channel_bindings.hpp"
#include "smtp/command.hpp"
#include "smtp/content_scanner.hpp"

#include <algorithm>
#include <cassert>
#include <optional>
#include <utility>

namespace smtp {

namespace {

using step = std::optional<server_action>;

// Longer lines than RFC 5321 section 4.5.3.1.6 knows are worth a warning.
constexpr std::size_t very_long_line = 1000;

// The longest path of RFC 5321 section 4.5.3.1.3; longer ones are accepted.
constexpr std::size_t usual_path = 256;

// What one unfinished command may hold when its length is not limited.
constexpr std::size_t overflow = 80'000;

// What is kept of the beginning of a session: enough to know HTTP and TLS by.
constexpr std::size_t opening_octets = 15;

// Text that others chose, in a reply.
struct untrusted {
    std::string_view text;
};

bool is_plain(std::string_view text) noexcept {
    return std::all_of(text.begin(), text.end(), [](char c) { return c >= 0x20 && c < 0x7f && c != '\\'; });
}

// Nothing when the domain cannot be said in A-labels.
std::optional<std::string> with_a_labels(std::string_view address) {
    const std::string_view domain = domain_part(address);
    if (base::is_ascii(domain))
        return std::string(address);
    const auto labels = mail::to_a_labels(domain);
    if (!labels)
        return std::nullopt;
    return std::string(address.substr(0, address.size() - domain.size())) + *labels;
}

} // namespace

struct server_engine::impl {
    enum class state {
        start,        // neither HELO nor EHLO yet
        idle,         // no transaction
        mail,         // sender given
        rcpt,         // at least one recipient accepted
        data,         // content by DATA
        chunk,        // the octets behind a BDAT line
        chunks,       // between two chunks
        auth,         // the next line answers a challenge
        reset_needed, // the peer has lost step: RSET, EHLO, HELO or QUIT
    };

    // What the driver has been asked and has not answered.
    enum class question { none, tls, recipient, mailbox, content, commit, password, computation, delay };

    struct chunk_in_hand {
        enum class fate { keep, no_recipients, out_of_sequence };
        fate what = fate::keep;
        bool last = false;
        std::uint64_t size = 0;
        std::uint64_t left = 0;
        state before = state::start; // for a chunk out of sequence
    };

    impl(const server_settings& settings, peer_info peer, base::logger log)
        : settings_(settings), peer_(std::move(peer)), log_(std::move(log)),
          line_(settings.max_command_line) {}

    server_action next();
    void tls_established(base::tls_session session);
    void tls_failed(std::string_view reason);
    void start(bool service_available);
    void recipient_checked(recipient_verdict verdict);
    void password_checked(std::optional<sasl::verdict> verdict);
    void computed();
    void waited();
    void content_opened(const base::calendar_time& now);
    void message_committed(const commit_outcome& outcome);
    void end_session(int code, std::string_view text, std::string_view reason);

    // ---- input
    void look_at_opening();
    step receive_command();
    step receive_data();
    step receive_chunk();
    step dispatch(const command& c);
    step end_of_chunk();
    step end_of_content();
    step store(std::span<const char> content);
    step refuse_content(const char* reason, std::string_view text);

    // ---- verbs
    step do_helo(std::string_view name);
    step do_ehlo(std::string_view name);
    step do_mail(std::string_view argument);
    step do_rcpt(std::string_view argument);
    step do_data();
    step do_bdat(std::string_view argument);
    step do_vrfy(std::string_view argument);
    step do_auth(std::string_view argument);
    step receive_auth_response();
    step go_on(sasl::step now);
    step login_failed();
    void logged_in(const sasl::verdict& who);
    step do_starttls();
    step do_rset();
    step do_quit();
    step unknown();
    step out_of_sequence();

    check_recipient about_recipient(std::string_view address, std::string_view from);
    void answer_rcpt(recipient_verdict& verdict);
    void answer_vrfy(const recipient_verdict& verdict);
    bool no_room_for_recipient() const;
    bool refused_in_clear();
    identity client_identity();
    bool refused_without_login();
    const sasl::trusted_address* trusted();
    std::vector<sasl::mechanism> mechanisms(bool encrypted) const;
    std::size_t longest_line() const;
    void refuse_path(path::fault wrong, std::string_view code, std::string_view no_keyword);

    // ---- replies and logging
    template <class... Pieces>
    void reply(const Pieces&... pieces);
    void add(std::string_view text) { output_ += text; }
    void add(untrusted text);
    void log_command(const command& c, const base::line_reader::line& line);
    void warn_of_long_line(std::size_t size);
    void log_content_once();

    // ---- what has gone on
    void greeted_by(std::string_view name);
    void end_transaction();
    void drop_message();
    void need_reset();
    void message_over();
    void count_error();
    void count_syntax_error();
    void close(std::string_view reason, bool abort = false);

    const server_settings& settings_;
    peer_info peer_;
    base::logger log_;

    // session
    state state_ = state::start;
    question asked_ = question::none;
    bool available_ = true;
    bool first_command_ = true;
    std::string opening_; // the first octets of the session
    bool long_line_seen_ = false;
    unsigned errors_ = 0;
    unsigned syntax_errors_ = 0;
    unsigned idle_commands_ = 0;
    unsigned resets_ = 0;
    std::string helo_;
    std::optional<base::tls_session> tls_; // of an encrypted session
    std::optional<close_session> closing_;
    std::string close_reason_;

    // login
    std::optional<authentication> required_;
    std::unique_ptr<sasl::server_exchange> exchange_; // AUTH in hand
    std::optional<sasl::step> to_go_on_;              // the driver has answered: what comes next in it
    std::optional<sasl::verdict> login_;              // successful
    std::optional<const sasl::trusted_address*> trusted_;
    unsigned failed_logins_ = 0;
    bool secret_taken_ = false;
    bool secrets_may_follow_ = false; // as commands, of a client that did not wait for the reply to AUTH

    // transaction
    mail::envelope envelope_;
    std::size_t recipient_octets_ = 0;
    bool smtputf8_ = false;
    bool begun_ = false;           // the driver has a message of ours
    bool discard_pending_ = false; // and is to be told to forget it
    std::string given_;            // RCPT and VRFY in question: the address as it was given,
    std::string forward_path_;     // and as it is used

    // content
    content_scanner scanner_;
    chunk_in_hand chunk_;
    std::string received_;
    bool received_pending_ = false;
    std::uint64_t content_size_ = 0;
    mail::hop_counter hops_;
    std::string_view content_refused_; // the reply to it, or empty
    bool content_logged_ = false;

    // in and out
    std::span<const char> input_;
    base::line_reader line_;
    std::string output_;
};

// ---- the outside

server_engine::server_engine(const server_settings& settings, peer_info peer, base::logger log)
    : impl_(std::make_unique<impl>(settings, std::move(peer), std::move(log))) {}

server_engine::~server_engine() = default;
server_engine::server_engine(server_engine&&) noexcept = default;
server_engine& server_engine::operator=(server_engine&&) noexcept = default;

void server_engine::tls_established(base::tls_session session) {
    impl_->tls_established(std::move(session));
}

void server_engine::tls_failed(std::string_view reason) {
    impl_->tls_failed(reason);
}

void server_engine::require(authentication how) {
    impl_->required_ = std::move(how);
}

void server_engine::start(bool service_available) {
    impl_->start(service_available);
}

void server_engine::feed(std::span<const char> bytes) {
    assert(impl_->input_.empty());
    impl_->input_ = bytes;
    impl_->look_at_opening();
}

server_action server_engine::next() {
    return impl_->next();
}

void server_engine::recipient_checked(recipient_verdict verdict) {
    impl_->recipient_checked(std::move(verdict));
}

void server_engine::password_checked(std::optional<sasl::verdict> verdict) {
    impl_->password_checked(std::move(verdict));
}

void server_engine::computed() {
    impl_->computed();
}

void server_engine::waited() {
    impl_->waited();
}

void server_engine::content_opened(const base::calendar_time& now) {
    impl_->content_opened(now);
}

void server_engine::message_committed(const commit_outcome& outcome) {
    impl_->message_committed(outcome);
}

void server_engine::end_session(int code, std::string_view text, std::string_view reason) {
    impl_->end_session(code, text, reason);
}

std::string server_engine::take_output() {
    return std::exchange(impl_->output_, {});
}

bool server_engine::has_output() const noexcept {
    return !impl_->output_.empty();
}

bool server_engine::in_command() const noexcept {
    return impl_->line_.begun();
}

std::uint64_t server_engine::lines() const noexcept {
    return impl_->line_.finished();
}

bool server_engine::in_content() const noexcept {
    return impl_->state_ == impl::state::data || impl_->state_ == impl::state::chunk;
}

bool server_engine::awaits_content() const noexcept {
    return in_content() || impl_->state_ == impl::state::chunks;
}

bool server_engine::encrypted() const noexcept {
    return impl_->tls_.has_value();
}

const std::optional<base::tls_session>& server_engine::tls() const noexcept {
    return impl_->tls_;
}

server_engine::identity server_engine::client_identity() const {
    return impl_->client_identity();
}

const std::string& server_engine::helo() const noexcept {
    return impl_->helo_;
}

bool server_engine::took_secret() noexcept {
    const bool begun = impl_->line_.begun(); // who knows what it is going to be
    return std::exchange(impl_->secret_taken_, false) || begun;
}

unsigned server_engine::resets() const noexcept {
    return impl_->resets_;
}

// ---- the session

void server_engine::impl::tls_established(base::tls_session session) {
    assert(!tls_ && (asked_ == question::tls || settings_.tls == tls_mode::implicit));
    asked_ = question::none;
    tls_ = std::move(session);
}

void server_engine::impl::tls_failed(std::string_view reason) {
    asked_ = question::none;
    close_reason_ = reason;
    close(close_reason_, true);
}

void server_engine::impl::start(bool service_available) {
    line_ = base::line_reader(longest_line());
    available_ = service_available;
    if (!available_)
        reply("421 service not available");
    else if (settings_.anonymous_server)
        reply("220 greeting");
    else
        reply("220 ", settings_.domain, " -- E-MailRelay V", settings_.version, " -- Service ready");
}

server_action server_engine::impl::next() {
    assert(asked_ == question::none);
    for (;;) {
        if (std::exchange(discard_pending_, false))
            return discard_message{};
        if (closing_) {
            input_ = {};
            return *closing_;
        }
        std::size_t most_replies = settings_.max_pending_replies;
        if (most_replies != 0 && output_.size() >= most_replies && !input_.empty())
            return write_replies{};
        step todo;
        if (state_ == state::data)
            todo = receive_data();
        else if (state_ == state::chunk)
            todo = receive_chunk();
        else if (to_go_on_)
            todo = go_on(*std::exchange(to_go_on_, std::nullopt));
        else if (state_ == state::auth)
            todo = receive_auth_response();
        else
            todo = receive_command();
        if (todo)
            return std::move(*todo);
    }
}

void server_engine::impl::end_session(int code, std::string_view text, std::string_view reason) {
    if (closing_)
        return;
    asked_ = question::none;
    reply(std::to_string(code), text.empty() ? "" : " ", text);
    close_reason_ = reason;
    close(close_reason_);
}

// ---- input

// A client that speaks TLS at once begins with a handshake record of version 3.x (RFC 8446 section 5.1).
void server_engine::impl::look_at_opening() {
    constexpr std::size_t enough = 3;
    if (opening_.size() == opening_octets)
        return;
    const bool looked = opening_.size() >= enough;
    const auto more = input_.first(std::min(opening_octets - opening_.size(), input_.size()));
    opening_.append(more.data(), more.size());
    if (!tls_ && !looked && opening_.size() >= enough && opening_.starts_with("\x16\x03") && opening_[2] <= 4)
        log_.warning("received unexpected tls handshake packet from remote client: "
                     "try enabling implicit tls (smtps)");
}

step server_engine::impl::receive_command() {
    auto line = line_.take(input_);
    if (!line) {
        if (longest_line() == 0 && line_.size() > overflow) {
            close("server protocol overflow", true);
            return std::nullopt;
        }
        return read_more{};
    }
    const command c = parse_command(line->text);
    if (c.what != verb::auth && settings_.max_command_line && line->size > settings_.max_command_line)
        line->too_long = true;
    if (c.what != verb::unknown)
        secrets_may_follow_ = c.what == verb::auth;
    secret_taken_ = secret_taken_ || secrets_may_follow_;
    log_command(c, *line);
    warn_of_long_line(line->size);

    ++idle_commands_;
    if (settings_.max_idle_commands && idle_commands_ > settings_.max_idle_commands && c.what != verb::quit) {
        reply("421 too many commands");
        close("too many commands");
        return std::nullopt;
    }
    // A web browser can be made to post a mail dialogue to any port; it cannot be made to leave out its
    // request line, however long that is.
    if (std::exchange(first_command_, false) &&
        base::is_http_method(line->too_long ? parse_command(opening_).word : c.word)) {
        reply("500 command unrecognized");
        close("http request");
        return std::nullopt;
    }
    if (line->too_long) {
        reply("500 line too long");
        count_syntax_error();
        return std::nullopt;
    }
    return dispatch(c);
}

step server_engine::impl::dispatch(const command& c) {
    switch (c.what) {
    case verb::helo:
        return do_helo(base::trim(c.argument));
    case verb::ehlo:
        return do_ehlo(base::trim(c.argument));
    case verb::mail:
        return do_mail(c.argument);
    case verb::rcpt:
        return do_rcpt(c.argument);
    case verb::data:
        return do_data();
    case verb::bdat:
        return do_bdat(c.argument);
    case verb::vrfy:
        return do_vrfy(base::trim(c.argument));
    case verb::auth:
        return do_auth(c.argument);
    case verb::rset:
        return do_rset();
    case verb::quit:
        return do_quit();
    case verb::noop:
        reply("250 noop");
        return std::nullopt;
    case verb::help:
    case verb::expn:
        reply("502 command not implemented");
        return std::nullopt;
    case verb::starttls:
        return do_starttls();
    case verb::unknown:
        return unknown();
    }
    return unknown();
}

step server_engine::impl::receive_data() {
    if (std::exchange(received_pending_, false))
        return store(received_);
    if (input_.empty())
        return read_more{};
    log_content_once();
    const content_scanner::piece piece = scanner_.scan(input_);
    input_ = input_.subspan(piece.used);
    return piece.end ? end_of_content() : store(piece.content);
}

step server_engine::impl::receive_chunk() {
    if (std::exchange(received_pending_, false))
        return store(received_);
    if (!chunk_.left)
        return end_of_chunk();
    if (input_.empty())
        return read_more{};
    const auto piece =
        input_.first(static_cast<std::size_t>(std::min<std::uint64_t>(chunk_.left, input_.size())));
    input_ = input_.subspan(piece.size());
    chunk_.left -= piece.size();
    if (chunk_.what != chunk_in_hand::fate::keep)
        return std::nullopt;
    log_content_once();
    return store(piece);
}

// Size and hops count with our own Received line. The size must stay below its limit.
step server_engine::impl::store(std::span<const char> content) {
    if (content.empty() || !content_refused_.empty())
        return std::nullopt;
    content_size_ += content.size();
    hops_.scan({content.data(), content.size()});
    if (settings_.size_limit && content_size_ >= settings_.size_limit)
        return refuse_content("message content too big",
                              "552 message size exceeds fixed maximum message size");
    if (settings_.max_hops && hops_.hops() > settings_.max_hops)
        return refuse_content("message has passed too many servers", "554 too many hops");
    return append_content{content};
}

// What is still to come is read and thrown away before it is said.
step server_engine::impl::refuse_content(const char* reason, std::string_view text) {
    content_refused_ = text;
    log_.warning("{}", reason);
    drop_message();
    return std::nullopt;
}

step server_engine::impl::end_of_content() {
    if (!content_refused_.empty()) {
        reply(content_refused_);
        message_over();
        return std::nullopt;
    }
    asked_ = question::commit;
    return commit_message{&envelope_};
}

// RFC 3030 section 2: the octets of a refused chunk are read and thrown away before it is refused.
step server_engine::impl::end_of_chunk() {
    switch (chunk_.what) {
    case chunk_in_hand::fate::keep:
        if (chunk_.last)
            return end_of_content();
        --idle_commands_;
        state_ = state::chunks;
        reply("250 ", std::to_string(chunk_.size), " bytes received");
        break;
    case chunk_in_hand::fate::no_recipients:
        end_transaction();
        reply("554 no valid recipients");
        break;
    case chunk_in_hand::fate::out_of_sequence:
        state_ = chunk_.before;
        if (state_ != state::start)
            need_reset();
        return out_of_sequence();
    }
    return std::nullopt;
}

void server_engine::impl::content_opened(const base::calendar_time& now) {
    if (std::exchange(asked_, question::none) != question::content)
        return;
    scanner_ = content_scanner();
    content_size_ = 0;
    hops_ = mail::hop_counter();
    content_refused_ = {};
    content_logged_ = false;
    if (!settings_.anonymous_content) {
        mail::trace trace;
        trace.helo = helo_;
        trace.address = peer_.unix_domain ? "/" : std::string_view(peer_.address);
        trace.domain = settings_.domain;
        trace.tls = tls_.has_value();
        trace.authenticated = login_.has_value();
        if (tls_)
            trace.tls_cipher = tls_->cipher;
        received_ = mail::received_line(trace, now);
        received_pending_ = true;
    }
    if (state_ == state::data)
        reply("354 start mail input -- end with <CRLF>.<CRLF>");
}

void server_engine::impl::message_committed(const commit_outcome& outcome) {
    if (std::exchange(asked_, question::none) != question::commit)
        return;
    begun_ = false; // stored or removed: either way it is no longer ours
    reply(std::to_string(outcome.code), outcome.text.empty() ? "" : " ", untrusted{outcome.text});
    message_over();
}

// ---- verbs

step server_engine::impl::do_helo(std::string_view name) {
    if (name.empty()) {
        reply("501 parameter required");
        count_syntax_error();
        return std::nullopt;
    }
    greeted_by(name);
    reply("250 hello");
    return std::nullopt;
}

step server_engine::impl::do_ehlo(std::string_view name) {
    if (name.empty()) {
        reply("501 parameter required");
        count_syntax_error();
        return std::nullopt;
    }
    greeted_by(name);
    login_.reset();
    reply("250-", settings_.anonymous_server ? "smtp" : std::string_view(settings_.domain), " says hello");
    if (settings_.size_limit)
        reply("250-SIZE ", std::to_string(settings_.size_limit));
    std::string offer;
    for (sasl::mechanism m : mechanisms(tls_.has_value())) {
        offer += ' ';
        offer += name_of(m);
    }
    if (!offer.empty())
        reply("250-AUTH", offer);
    if (settings_.tls == tls_mode::starttls && !tls_)
        reply("250-STARTTLS");
    if (!settings_.anonymous_vrfy)
        reply("250-VRFY");
    if (settings_.chunking) {
        reply("250-CHUNKING");
        reply("250-BINARYMIME");
    }
    if (settings_.pipelining)
        reply("250-PIPELINING");
    if (settings_.smtputf8)
        reply("250-SMTPUTF8");
    reply("250 8BITMIME");
    return std::nullopt;
}

step server_engine::impl::do_mail(std::string_view argument) {
    if (state_ != state::idle)
        return out_of_sequence();
    if (!available_) {
        reply("421 service not available");
        return std::nullopt;
    }
    if (refused_without_login() || refused_in_clear())
        return std::nullopt;
    const path from = parse_path(argument, "FROM:", settings_.strict_parsing);
    const mail_parameters parameters = parse_mail_parameters(from.parameters);
    auto reverse_path = settings_.a_labels ? with_a_labels(from.address) : std::string(from.address);
    if (from.wrong != path::fault::none || !reverse_path) {
        const auto wrong = reverse_path ? from.wrong : path::fault::character;
        refuse_path(wrong, "553 mailbox name not allowed: ", "invalid mail-from command");
        return std::nullopt;
    }
    if (parameters.malformed) {
        reply("553 mailbox name not allowed: invalid mail-from parameter");
        count_syntax_error();
        return std::nullopt;
    }
    if (parameters.size_overflow || (settings_.size_limit && parameters.size > settings_.size_limit)) {
        reply("552 message size exceeds fixed maximum message size");
        return std::nullopt;
    }
    const bool utf8_mailbox = !base::is_ascii(mailbox_part(from.address));
    if (utf8_mailbox && settings_.smtputf8_strict && !parameters.smtputf8) {
        // The misspelling is what users' programs know.
        reply("553 mailbox name not allowed: invalid character in mailbox name: not using smptutf8");
        return std::nullopt;
    }
    if (from.address.empty())
        log_.warning("empty MAIL-FROM return path");

    envelope_.content = mail::body_type_of(parameters.body);
    envelope_.from = std::move(*reverse_path);
    envelope_.client = peer_.address;
    if (login_)
        envelope_.authentication = login_->id;
    else if (const sasl::trusted_address* t = trusted())
        envelope_.authentication = t->keyword;
    if (tls_)
        envelope_.client_certificate = tls_->peer_certificate;
    envelope_.mail_from_auth_in = base::xtext_encode(base::xtext_decode_leniently(parameters.auth));
    envelope_.utf8_mailboxes = utf8_mailbox;
    smtputf8_ = parameters.smtputf8;
    begun_ = true;
    state_ = state::mail;
    reply("250 sender <", untrusted{from.address}, "> OK");
    return begin_message{};
}

step server_engine::impl::do_rcpt(std::string_view argument) {
    if (state_ != state::mail && state_ != state::rcpt)
        return out_of_sequence();
    const path to = parse_path(argument, "TO:", settings_.strict_parsing);
    auto forward_path = settings_.a_labels ? with_a_labels(to.address) : std::string(to.address);
    if (to.wrong != path::fault::none || !forward_path) {
        refuse_path(forward_path ? to.wrong : path::fault::character, "550 ", "invalid rcpt-to command");
        return std::nullopt;
    }
    if (to.address.empty()) {
        reply("550 invalid empty mailbox");
        count_syntax_error();
        return std::nullopt;
    }
    if (!base::is_ascii(mailbox_part(to.address)) && settings_.smtputf8_strict && !smtputf8_) {
        reply("550 invalid character in mailbox name: not using smtputf8");
        return std::nullopt;
    }
    if (no_room_for_recipient()) {
        reply("452 too many recipients");
        return std::nullopt;
    }
    given_ = to.address;
    forward_path_ = std::move(*forward_path);
    asked_ = question::recipient;
    return about_recipient(forward_path_, envelope_.from);
}

step server_engine::impl::do_data() {
    if (state_ == state::mail) {
        end_transaction();
        reply("554 no valid recipients");
        return std::nullopt;
    }
    if (state_ != state::rcpt)
        return out_of_sequence();
    if (envelope_.content == mail::body_type::binary_mime) { // RFC 3030 section 3
        need_reset();
        reply("503 invalid data command with binarymime -- use RSET to resynchronise");
        count_error();
        return std::nullopt;
    }
    state_ = state::data;
    asked_ = question::content;
    return open_content{};
}

step server_engine::impl::do_bdat(std::string_view argument) {
    if (!settings_.chunking)
        return unknown();
    const chunk_argument wanted = parse_chunk_argument(argument);
    const bool in_step = state_ == state::rcpt || state_ == state::chunks;
    if (in_step && (!wanted.size || (*wanted.size == 0 && !wanted.last))) {
        need_reset();
        reply("501 invalid argument");
        count_syntax_error();
        return std::nullopt;
    }
    chunk_ = {chunk_in_hand::fate::keep, wanted.last, wanted.size.value_or(0), wanted.size.value_or(0),
              state_};
    const bool first = state_ == state::rcpt;
    state_ = state::chunk;
    if (first) {
        asked_ = question::content;
        return open_content{};
    }
    if (chunk_.before == state::mail)
        chunk_.what = chunk_in_hand::fate::no_recipients;
    else if (!in_step)
        chunk_.what = chunk_in_hand::fate::out_of_sequence;
    return std::nullopt;
}

step server_engine::impl::do_vrfy(std::string_view argument) {
    const bool allowed =
        state_ == state::start || state_ == state::idle || state_ == state::mail || state_ == state::rcpt;
    if (!allowed)
        return out_of_sequence();
    if (settings_.anonymous_vrfy) {
        reply("252 cannot vrfy");
        return std::nullopt;
    }
    if (refused_without_login() || refused_in_clear())
        return std::nullopt;
    constexpr std::string_view parameter = "SMTPUTF8"; // RFC 6531 section 3.7.4.2
    if (argument == parameter)
        argument = {};
    else if (argument.ends_with(parameter) && argument[argument.size() - parameter.size() - 1] == ' ')
        argument = base::trim(argument.substr(0, argument.size() - parameter.size()));
    if (argument.empty()) {
        reply("550 invalid mailbox");
        count_syntax_error();
        return std::nullopt;
    }
    given_ = argument;
    asked_ = question::mailbox;
    check_recipient ask = about_recipient(given_, {});
    ask.vrfy = true;
    return ask;
}

// ---- AUTH (RFC 4954)

std::size_t server_engine::impl::longest_line() const {
    if (!required_)
        return settings_.max_command_line;
    if (settings_.max_command_line == 0 || settings_.max_auth_line == 0)
        return 0;
    return std::max(settings_.max_command_line, settings_.max_auth_line);
}

// On offer; under --server-tls-required nothing is before there is encryption.
std::vector<sasl::mechanism> server_engine::impl::mechanisms(bool encrypted) const {
    if (!required_ || (settings_.tls_required && !encrypted))
        return {};
    const bool can_bind = tls_ && !sasl::bindings_of(*tls_).empty();
    return required_->by.mechanisms(encrypted, can_bind);
}

step server_engine::impl::do_auth(std::string_view argument) {
    secret_taken_ = true;
    if (state_ != state::idle)
        return out_of_sequence();
    const auto offered = mechanisms(tls_.has_value());
    const auto encrypted = mechanisms(true);
    if (offered.empty() &&
        encrypted.empty()) { // a client that tries all the same is often guessing passwords
        log_.warning("client protocol error: AUTH requested but not advertised");
        reply("502 command not implemented");
        return std::nullopt;
    }
    if (login_) {
        log_.warning("too many AUTH requests");
        return out_of_sequence();
    }

    const auto contains = [](const std::vector<sasl::mechanism>& list, std::optional<sasl::mechanism> m) {
        return m && std::ranges::find(list, *m) != list.end();
    };
    const std::string_view name = argument.substr(0, argument.find_first_of(" \t"));
    const auto wanted = sasl::mechanism_named(name);
    if (!contains(offered, wanted)) {
        const bool tls_would_help = !tls_ && (offered.empty() || contains(encrypted, wanted));
        if (tls_would_help)
            log_.warning("rejecting authentication attempt without encryption");
        else
            log_.warning("request for unsupported server AUTH mechanism: {}", base::printable(name));
        reply("504 unsupported authentication mechanism",
              tls_would_help && settings_.tls == tls_mode::starttls ? ": use starttls" : "");
        return std::nullopt;
    }

    const std::string fresh = required_->fresh_text();
    sasl::exchange_facts facts{"<" + fresh + "@" + settings_.domain + ">", fresh, tls_.has_value(),
                               tls_ ? sasl::bindings_of(*tls_) : std::vector<sasl::channel_binding>()};
    exchange_ = std::make_unique<sasl::server_exchange>(required_->by, *wanted, std::move(facts));
    const std::string_view initial = base::trim(argument.substr(name.size()));
    if (initial.empty())
        return go_on(exchange_->begin(std::nullopt));
    auto decoded = base::base64_decode(initial);
    if (!exchange_->takes_initial_response() || !decoded) {
        log_.warning("{}", decoded ? "unexpected initial-response with a server-first AUTH mechanism"
                                   : "invalid base64 encoding of AUTH parameter");
        reply("501 invalid argument");
        exchange_.reset();
        count_syntax_error();
        return std::nullopt;
    }
    const base::secret_text response = base::secret_text::taken_from(*decoded);
    return go_on(exchange_->begin(response.view()));
}

step server_engine::impl::receive_auth_response() {
    const auto line = line_.take(input_);
    if (!line) {
        if (longest_line() == 0 && line_.size() > overflow) {
            close("server protocol overflow", true);
            return std::nullopt;
        }
        return read_more{};
    }
    secret_taken_ = true;
    log_.verbose("rx<<: [authentication response not logged]");
    if (line->too_long || line->text == "*") {
        exchange_.reset();
        state_ = state::idle;
        reply(line->too_long ? "500 line too long" : "501 authentication cancelled");
        count_syntax_error();
        return std::nullopt;
    }
    auto decoded = base::base64_decode(line->text);
    if (!decoded) {
        log_.warning("invalid base64 encoding of authentication response");
        return login_failed();
    }
    const base::secret_text response = base::secret_text::taken_from(*decoded);
    return go_on(exchange_->respond(response.view()));
}

step server_engine::impl::go_on(sasl::step now) {
    state_ = state::auth;
    if (auto* said = std::get_if<sasl::challenge>(&now)) {
        reply("334 ", base::base64_encode(said->text));
        return std::nullopt;
    }
    if (auto* ask = std::get_if<sasl::ask_password>(&now)) {
        asked_ = question::password;
        return check_password{std::move(*ask)};
    }
    if (std::holds_alternative<sasl::compute>(now)) {
        asked_ = question::computation;
        return compute{[exchange = exchange_.get()] {
            exchange->compute();
        }};
    }
    const auto& end = std::get<sasl::verdict>(now);
    if (!end.fault.empty())
        log_.warning("{}", end.fault);
    if (end.success) {
        logged_in(end);
        return std::nullopt;
    }
    log_.warning("failed authentication of remote client using {}", end.description);
    return login_failed();
}

void server_engine::impl::logged_in(const sasl::verdict& who) {
    log_.verbose("successful authentication of remote client using {}", who.description);
    login_ = who;
    secrets_may_follow_ = false;
    exchange_.reset();
    state_ = state::idle;
    reply("235 authentication successful");
}

// The answer comes late, and later each time: who guesses passwords shall not have many guesses.
step server_engine::impl::login_failed() {
    constexpr unsigned longest_doubling = 5; // half a minute: longer than that clients do not wait
    const unsigned doublings = std::min(failed_logins_++, longest_doubling);
    exchange_.reset();
    asked_ = question::delay;
    return wait_a_while{std::chrono::seconds(1U << doublings)};
}

void server_engine::impl::waited() {
    if (std::exchange(asked_, question::none) != question::delay)
        return;
    state_ = state::idle;
    reply("535 authentication failed");
    count_syntax_error();
}

void server_engine::impl::password_checked(std::optional<sasl::verdict> verdict) {
    if (std::exchange(asked_, question::none) != question::password)
        return;
    if (verdict) {
        to_go_on_ = std::move(*verdict);
        return;
    }
    exchange_.reset();
    state_ = state::idle;
    reply("454 temporary authentication failure");
}

void server_engine::impl::computed() {
    if (std::exchange(asked_, question::none) == question::computation)
        to_go_on_ = exchange_->computed();
}

// Null unless the client need not log in. Looked up once, when it matters.
const sasl::trusted_address* server_engine::impl::trusted() {
    if (!required_)
        return nullptr;
    if (!trusted_) {
        trusted_ = required_->by.trusted(peer_.address);
        if (const sasl::trusted_address* t = *trusted_)
            log_.verbose("trusting [{}]: matched [{}] from line {}", base::printable(peer_.address),
                         base::printable(t->range), t->line);
        else
            log_.verbose("server authentication enabled but not a trusted address: {}",
                         base::printable(peer_.address));
    }
    return *trusted_;
}

server_engine::identity server_engine::impl::client_identity() {
    if (login_)
        return {login_->mechanism, login_->id};
    if (const sasl::trusted_address* t = trusted())
        return {"none", t->keyword};
    return {};
}

bool server_engine::impl::refused_without_login() {
    if (!required_ || login_ || trusted() != nullptr)
        return false;
    const bool tls_first = settings_.tls_required && !tls_ && settings_.tls == tls_mode::starttls;
    reply("530 authentication required", tls_first ? ": use starttls" : "");
    return true;
}

// ---- the rest

// Whatever else came in clear is forgotten here, before the handshake (RFC 3207 section 4.2); what the client
// called itself goes too.
step server_engine::impl::do_starttls() {
    if (settings_.tls != tls_mode::starttls)
        return unknown();
    if (tls_ || state_ != state::idle)
        return out_of_sequence();
    reply("220 ready to start tls");
    input_ = {};
    line_ = base::line_reader(longest_line());
    helo_.clear();
    login_.reset();
    asked_ = question::tls;
    return start_tls{};
}

step server_engine::impl::do_rset() {
    const bool greeted = state_ != state::start;
    ++resets_;
    end_transaction();
    state_ = greeted ? state::idle : state::start;
    reply("250 state reset");
    return std::nullopt;
}

step server_engine::impl::do_quit() {
    reply("221 OK");
    close("smtp protocol done");
    return std::nullopt;
}

step server_engine::impl::unknown() {
    reply("500 command unrecognized");
    count_error();
    return std::nullopt;
}

step server_engine::impl::out_of_sequence() {
    reply("503 command out of sequence -- use RSET to resynchronise");
    count_error();
    return std::nullopt;
}

// ---- addresses

check_recipient server_engine::impl::about_recipient(std::string_view address, std::string_view from) {
    check_recipient ask{address, from};
    const identity client = client_identity();
    ask.mechanism = client.mechanism;
    ask.id = client.id;
    return ask;
}

void server_engine::impl::recipient_checked(recipient_verdict verdict) {
    const question asked = std::exchange(asked_, question::none);
    if (closing_)
        return;
    if (verdict.what == recipient_verdict::kind::abort_session)
        close("address verifier abort", true);
    else if (asked == question::recipient)
        answer_rcpt(verdict);
    else if (asked == question::mailbox)
        answer_vrfy(verdict);
}

void server_engine::impl::answer_rcpt(recipient_verdict& verdict) {
    const bool local = verdict.what == recipient_verdict::kind::local;
    if (local || verdict.what == recipient_verdict::kind::remote) {
        if (local) {
            recipient_octets_ += verdict.address.size();
            envelope_.to_local.push_back(std::move(verdict.address));
        } else {
            const std::string& used = verdict.address.empty() ? forward_path_ : verdict.address;
            envelope_.utf8_mailboxes = envelope_.utf8_mailboxes || !base::is_ascii(mailbox_part(used));
            recipient_octets_ += used.size();
            envelope_.to_remote.push_back(used);
        }
        --idle_commands_;
        state_ = state::rcpt;
        reply("250 recipient <", untrusted{given_}, local ? ">  OK" : "> OK");
        return;
    }
    log_.warning("rejecting recipient \"{}\": {}{}{}", base::printable(given_),
                 base::printable(verdict.response), verdict.reason.empty() ? "" : ": ",
                 base::printable(verdict.reason));
    const std::string_view code = verdict.what == recipient_verdict::kind::rejected ? "550" : "450";
    const std::string_view gap = verdict.response.empty() ? "" : " ";
    if (base::is_ascii(given_))
        reply(code, gap, untrusted{verdict.response});
    else
        reply(code, " recipient <", untrusted{given_}, ">", gap, untrusted{verdict.response});
}

void server_engine::impl::answer_vrfy(const recipient_verdict& verdict) {
    switch (verdict.what) {
    case recipient_verdict::kind::local:
        reply("250", verdict.full_name.empty() ? "" : " ", untrusted{verdict.full_name});
        break;
    case recipient_verdict::kind::remote:
        reply("252 cannot verify but will accept: ", untrusted{given_});
        break;
    default:
        reply(verdict.what == recipient_verdict::kind::rejected ? "550" : "450",
              verdict.response.empty() ? "" : " ", untrusted{verdict.response});
    }
}

// Under --server-tls-required mail and questions about mailboxes are for encrypted sessions alone.
bool server_engine::impl::refused_in_clear() {
    if (!settings_.tls_required || tls_)
        return false;
    reply("530 encryption required", settings_.tls == tls_mode::starttls ? ": use starttls" : "");
    return true;
}

// Addresses may be long, but not all of them.
bool server_engine::impl::no_room_for_recipient() const {
    const std::size_t recipients = envelope_.to_local.size() + envelope_.to_remote.size();
    return settings_.max_recipients && (recipients >= settings_.max_recipients ||
                                        recipient_octets_ / usual_path >= settings_.max_recipients);
}

void server_engine::impl::refuse_path(path::fault wrong, std::string_view code, std::string_view no_keyword) {
    if (wrong == path::fault::no_brackets && !settings_.syntax_hint_given->exchange(true))
        log_.warning("invalid smtp command syntax from remote client: "
                     "use --server-smtp-config=nostrictparsing to allow");
    reply(code, wrong == path::fault::no_keyword ? no_keyword : describe(wrong));
    count_syntax_error();
}

// ---- replies and logging

template <class... Pieces>
void server_engine::impl::reply(const Pieces&... pieces) {
    const std::size_t begin = output_.size();
    (add(pieces), ...);
    if (log_.wants_verbose())
        log_.verbose("tx>>: \"{}\"", std::string_view(output_).substr(begin));
    output_ += "\r\n";
}

void server_engine::impl::add(untrusted piece) {
    if (is_plain(piece.text))
        output_ += piece.text;
    else
        output_ += base::printable(piece.text);
}

void server_engine::impl::log_command(const command& c, const base::line_reader::line& line) {
    if (!log_.wants_verbose())
        return;
    if (secrets_may_follow_ && c.what == verb::unknown) {
        log_.verbose("rx<<: [not logged]");
        return;
    }
    if (line.too_long) {
        log_.verbose("rx<<: [line of {} octets not logged]", line.size);
        return;
    }
    if (c.what == verb::auth) { // an initial response holds a password
        const std::string_view mechanism = c.argument.substr(0, c.argument.find_first_of(" \t"));
        const bool more = !base::trim(c.argument.substr(mechanism.size())).empty();
        log_.verbose("rx<<: \"{}{}{}{}\"", c.word, mechanism.empty() ? "" : " ", base::printable(mechanism),
                     more ? " [not logged]" : "");
        return;
    }
    log_.verbose("rx<<: \"{}\"", base::printable(line.text));
}

void server_engine::impl::warn_of_long_line(std::size_t size) {
    if (size > very_long_line && !std::exchange(long_line_seen_, true))
        log_.warning("very long line detected: {} > {}", size, very_long_line);
}

void server_engine::impl::log_content_once() {
    if (!std::exchange(content_logged_, true))
        log_.verbose("rx<<: [message content not logged]");
}

// ---- what has gone on

void server_engine::impl::greeted_by(std::string_view name) {
    end_transaction();
    helo_ = name;
}

// Without a transaction, and greeted.
void server_engine::impl::end_transaction() {
    drop_message();
    envelope_ = mail::envelope();
    recipient_octets_ = 0;
    state_ = state::idle;
}

void server_engine::impl::drop_message() {
    if (std::exchange(begun_, false))
        discard_pending_ = true;
}

void server_engine::impl::need_reset() {
    end_transaction();
    state_ = state::reset_needed;
}

void server_engine::impl::message_over() {
    end_transaction();
    idle_commands_ = 0;
}

// The kinds of error that have always been counted.
void server_engine::impl::count_error() {
    ++errors_;
    if (settings_.max_errors && errors_ >= settings_.max_errors)
        close("too many protocol errors from the client");
}

void server_engine::impl::count_syntax_error() {
    ++syntax_errors_;
    if (settings_.max_other_errors && syntax_errors_ >= settings_.max_other_errors)
        close("too many protocol errors from the client");
}

void server_engine::impl::close(std::string_view reason, bool abort) {
    drop_message();
    closing_ = close_session{reason, abort};
}

} // namespace smtp
