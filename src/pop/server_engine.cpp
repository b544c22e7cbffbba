// Order on the page is order in time: lines, verbs before and after the login, authentication, the
// transaction, content.
#include "pop/server_engine.hpp"

#include "base/base64.hpp"
#include "base/line_reader.hpp"
#include "base/secret_text.hpp"
#include "base/text.hpp"
#include "pop/content_writer.hpp"
#include "sasl/channel_bindings.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace pop {

namespace {

constexpr std::size_t output_piece = 32 * 1024; // more than that is written before more is made
constexpr std::size_t most_words = 3;
constexpr unsigned longest_wait = 6; // doublings: 1, 2, 4 ... 32 s

constexpr std::string_view err = "-ERR";

std::vector<std::string_view> split_words(std::string_view line) {
    std::vector<std::string_view> words;
    for (;;) {
        std::size_t begin = line.find_first_not_of(" \t");
        if (begin == std::string_view::npos)
            return words;
        line.remove_prefix(begin);
        std::size_t end = std::min(line.find_first_of(" \t"), line.size());
        words.push_back(line.substr(0, end));
        line.remove_prefix(end);
        if (words.size() > most_words)
            return words;
    }
}

bool is_known_before_login(std::string_view verb) {
    static constexpr std::string_view verbs[] = {"capa", "quit", "user", "pass", "apop", "auth", "stls"};
    return std::find(std::begin(verbs), std::end(verbs), verb) != std::end(verbs);
}

} // namespace

struct server_engine::impl {
    impl(const server_settings& s, authentication h, std::string p, base::logger l)
        : settings(s), how(std::move(h)), peer(std::move(p)), log(std::move(l)), lines(s.max_auth_line) {}

    enum class state { command, auth_response, transaction, over };
    // Before the next command is looked at:
    enum class doing {
        nothing,
        tls,
        password,
        computing,
        waiting,
        opening,
        retrieving,
        reading,
        listing,
        deleting
    };

    action next();
    std::optional<action> go_on();
    std::optional<action> execute(std::string_view line);
    std::optional<action> before_login(std::string_view verb, const std::vector<std::string_view>& words);
    std::optional<action> in_transaction(std::string_view verb, const std::vector<std::string_view>& words);

    void capa();
    std::optional<action> stls();
    std::optional<action> user(const std::vector<std::string_view>& words);
    std::optional<action> pass(const std::vector<std::string_view>& words);
    std::optional<action> apop(const std::vector<std::string_view>& words);
    std::optional<action> auth(const std::vector<std::string_view>& words);
    std::optional<action> auth_response(std::string_view line);
    std::optional<action> take(sasl::step step);
    std::optional<action> judge(const sasl::verdict& verdict);
    std::optional<action> failed_login();
    std::optional<action> logged_in(const sasl::verdict& verdict);
    bool may_log_in() const { return encrypted || !settings.tls_required; }
    std::vector<sasl::mechanism> offered() const;
    bool plain_offered() const;

    std::optional<action> retrieve(std::uint64_t number, std::optional<std::uint64_t> body_lines);
    std::optional<action> list(const std::vector<std::string_view>& words, bool uidl);
    void list_piece();
    std::string list_entry(std::uint64_t number, bool uidl) const;
    std::uint64_t number_of(const std::vector<std::string_view>& words) const;

    void reply(std::string_view text);
    void quietly(std::string_view text) { output.append(text).append("\r\n"); }
    std::optional<action> refuse(std::string_view text = err); // counted
    void end(std::string_view why) {
        now = state::over;
        reason = why;
    }

    const server_settings& settings;
    authentication how;
    std::string peer;
    base::logger log;
    base::line_reader lines;
    std::span<const char> input;
    std::string output;

    state now = state::command;
    doing busy = doing::nothing;
    bool encrypted = false;
    std::vector<sasl::channel_binding> bindings; // of the encrypted connection
    std::string greeting_challenge;              // empty: no APOP
    std::string user_name;
    std::optional<sasl::server_exchange> exchange;
    std::optional<sasl::ask_password> asked;
    bool by_auth_command = false;
    unsigned errors = 0;
    unsigned failed_logins = 0;
    bool secret_taken = false;
    bool secrets_may_follow = false; // as commands, of a client that did not wait for the reply to AUTH
    std::string reason;
    bool abort = false;

    std::optional<action> pending; // what an answer has led to

    message_list messages;
    std::optional<content_writer> writer;
    std::string retr_reply;
    std::uint64_t list_at = 0;
    bool list_uidl = false;
};

server_engine::server_engine(const server_settings& settings, authentication how, std::string peer,
                             base::logger log)
    : impl_(std::make_unique<impl>(settings, std::move(how), std::move(peer), std::move(log))) {}
server_engine::~server_engine() = default;

void server_engine::start() {
    impl& e = *impl_;
    if (e.may_log_in() && e.how.by.offers_apop(e.encrypted))
        e.greeting_challenge = e.how.challenge();
    e.reply(e.greeting_challenge.empty() ? "+OK POP3 server ready"
                                         : "+OK POP3 server ready " + e.greeting_challenge);
}

void server_engine::feed(std::span<const char> bytes) {
    impl_->input = bytes;
}

action server_engine::next() {
    return impl_->next();
}

action server_engine::impl::next() {
    for (;;) {
        if (now == state::over)
            return close_session{reason, abort};
        if (pending) {
            action todo = std::move(*pending);
            pending.reset();
            return todo;
        }
        if (auto todo = go_on())
            return std::move(*todo);
        if (output.size() >= output_piece)
            return write_output{};
        if (busy != doing::nothing)
            continue;
        auto line = lines.take(input);
        if (!line)
            return read_more{};
        std::size_t limit = now == state::auth_response ? settings.max_auth_line : settings.max_command_line;
        bool is_auth = now == state::auth_response || base::iequals(line->text.substr(0, 5), "AUTH ");
        if (is_auth)
            limit = settings.max_auth_line;
        std::optional<action> todo;
        if (line->too_long || (limit != 0 && line->size > limit)) {
            log.verbose("rx<<: [line too long]");
            exchange.reset();
            now = now == state::auth_response ? state::command : now;
            todo = refuse("-ERR line too long");
        } else if (now == state::auth_response) {
            todo = auth_response(line->text);
        } else {
            todo = execute(line->text);
        }
        if (todo)
            return std::move(*todo);
    }
}

// What was begun and takes several steps.
std::optional<action> server_engine::impl::go_on() {
    switch (busy) {
    case doing::listing:
        if (output.size() < output_piece)
            list_piece();
        break;
    case doing::reading:
        if (output.size() >= output_piece)
            return write_output{};
        return read_content{};
    default:
        break;
    }
    return std::nullopt;
}

void server_engine::impl::reply(std::string_view text) {
    log.verbose("tx>>: \"{}\"", base::printable(text));
    quietly(text);
}

std::optional<action> server_engine::impl::refuse(std::string_view text) {
    ++errors;
    if (settings.max_errors != 0 && errors >= settings.max_errors) {
        reply("-ERR too many errors");
        end("too many errors");
    } else {
        reply(text);
    }
    return std::nullopt;
}

std::optional<action> server_engine::impl::execute(std::string_view line) {
    auto words = split_words(line);
    std::string verb = words.empty() ? std::string() : base::to_lower(words[0]);
    if (verb == "pass" || verb == "apop" || verb == "auth") {
        secret_taken = true;
        std::string shown = verb == "pass"     ? "PASS [password not logged]"
                            : verb == "apop"   ? "APOP [not logged]"
                            : words.size() > 2 ? "AUTH " + base::printable(words[1]) + " [not logged]"
                                               : base::printable(line);
        log.verbose("rx<<: \"{}\"", shown);
    } else if (secrets_may_follow && now == state::command && !is_known_before_login(verb)) {
        secret_taken = true;
        log.verbose("rx<<: \"[not logged]\"");
        return refuse();
    } else {
        log.verbose("rx<<: \"{}\"", base::printable(line));
    }
    secrets_may_follow = verb == "auth";
    if (verb == "capa") {
        capa();
        return std::nullopt;
    }
    return now == state::transaction ? in_transaction(verb, words) : before_login(verb, words);
}

std::vector<sasl::mechanism> server_engine::impl::offered() const {
    return may_log_in() ? how.by.mechanisms(encrypted, !bindings.empty()) : std::vector<sasl::mechanism>();
}

bool server_engine::impl::plain_offered() const {
    return may_log_in() && how.by.offers(sasl::mechanism::plain, encrypted);
}

void server_engine::impl::capa() {
    reply("+OK capability list follows");
    if (plain_offered())
        quietly("USER");
    quietly("CAPA");
    quietly("TOP");
    quietly("UIDL");
    if (settings.stls && !encrypted)
        quietly("STLS");
    std::string names;
    for (sasl::mechanism m : offered())
        names.append(" ").append(sasl::name_of(m));
    if (!names.empty())
        quietly("SASL" + names);
    quietly(".");
}

std::optional<action> server_engine::impl::before_login(std::string_view verb,
                                                        const std::vector<std::string_view>& words) {
    if (verb == "quit") {
        reply("+OK signing off");
        end("pop protocol done");
        return std::nullopt;
    }
    if (verb == "user")
        return user(words);
    if (verb == "pass")
        return pass(words);
    if (verb == "apop")
        return apop(words);
    if (verb == "auth")
        return auth(words);
    if (verb == "stls")
        return stls();
    return refuse();
}

std::optional<action> server_engine::impl::stls() {
    if (!settings.stls || encrypted)
        return refuse();
    reply("+OK");
    input = {};
    busy = doing::tls;
    return start_tls{};
}

std::optional<action> server_engine::impl::user(const std::vector<std::string_view>& words) {
    if (!plain_offered())
        return refuse("-ERR no SASL PLAIN mechanism to do USER/PASS authentication");
    user_name = words.size() > 1 ? std::string(words[1]) : std::string();
    reply("+OK user: " + base::printable(user_name));
    return std::nullopt;
}

std::optional<action> server_engine::impl::pass(const std::vector<std::string_view>& words) {
    greeting_challenge.clear(); // APOP is over
    if (!plain_offered() || user_name.empty() || words.size() != 2)
        return refuse();
    by_auth_command = false;
    return take(how.by.check_password(user_name, words[1]));
}

std::optional<action> server_engine::impl::apop(const std::vector<std::string_view>& words) {
    bool offered_now = may_log_in() && how.by.offers_apop(encrypted);
    if (greeting_challenge.empty() || words.size() != 3 || !offered_now)
        return refuse();
    by_auth_command = false;
    return judge(how.by.check_apop(greeting_challenge, words[1], words[2]));
}

std::optional<action> server_engine::impl::auth(const std::vector<std::string_view>& words) {
    auto mechanisms = offered();
    if (words.size() == 1) {
        reply("+OK");
        for (sasl::mechanism m : mechanisms)
            quietly(sasl::name_of(m));
        quietly(".");
        return std::nullopt;
    }
    if (mechanisms.empty() && settings.stls && !encrypted)
        return refuse("-ERR must use STLS before authentication");
    greeting_challenge.clear();
    auto wanted = sasl::mechanism_named(words[1]);
    if (!wanted || std::find(mechanisms.begin(), mechanisms.end(), *wanted) == mechanisms.end())
        return refuse("-ERR invalid mechanism");
    std::string challenge = how.challenge();
    exchange.emplace(how.by, *wanted,
                     sasl::exchange_facts{challenge, base::base64_encode(challenge), encrypted, bindings});
    by_auth_command = true;
    if (words.size() == 2 || words[2] == "=")
        return take(exchange->begin(std::nullopt));
    auto initial = base::base64_decode(words[2]);
    if (!exchange->takes_initial_response() || !initial) {
        bool expected = exchange->takes_initial_response();
        exchange.reset();
        return refuse(expected ? err : "-ERR invalid initial response");
    }
    const base::secret_text response = base::secret_text::taken_from(*initial);
    return take(exchange->begin(response.view()));
}

std::optional<action> server_engine::impl::auth_response(std::string_view line) {
    secret_taken = true;
    log.verbose("rx<<: \"[authentication response not logged]\"");
    now = state::command;
    auto decoded = base::base64_decode(line);
    if (line == "*" || !decoded) {
        exchange.reset();
        return failed_login();
    }
    const base::secret_text response = base::secret_text::taken_from(*decoded);
    return take(exchange->respond(response.view()));
}

std::optional<action> server_engine::impl::take(sasl::step step) {
    if (auto* next = std::get_if<sasl::challenge>(&step)) {
        now = state::auth_response;
        reply("+ " + base::base64_encode(next->text));
        return std::nullopt;
    }
    if (auto* ask = std::get_if<sasl::ask_password>(&step)) {
        busy = doing::password;
        return check_password{std::move(*ask)};
    }
    if (std::holds_alternative<sasl::compute>(step)) {
        busy = doing::computing;
        return compute{[this] {
            exchange->compute();
        }};
    }
    return judge(std::get<sasl::verdict>(step));
}

std::optional<action> server_engine::impl::judge(const sasl::verdict& verdict) {
    exchange.reset();
    if (!verdict.fault.empty())
        log.warning("authentication: {}", verdict.fault);
    if (!verdict.success) {
        log.warning("failed authentication of remote client using {}", verdict.description);
        return failed_login();
    }
    log.verbose("successful authentication of remote client using {}", verdict.description);
    return logged_in(verdict);
}

std::optional<action> server_engine::impl::failed_login() {
    ++errors;
    unsigned time = 1U << std::min(failed_logins++, longest_wait - 1);
    busy = doing::waiting;
    return wait_a_while{std::chrono::seconds(time)};
}

std::optional<action> server_engine::impl::logged_in(const sasl::verdict& verdict) {
    if (by_auth_command)
        log.summary("pop authentication of {} connected from {}", base::printable(verdict.id), peer);
    busy = doing::opening;
    return open_mailbox{verdict.id};
}

void server_engine::mailbox_opened(std::optional<message_list> messages) {
    impl& e = *impl_;
    e.busy = impl::doing::nothing;
    if (!messages) {
        e.refuse();
        return;
    }
    e.messages = std::move(*messages);
    e.now = impl::state::transaction;
    e.reply("+OK");
}

std::uint64_t server_engine::impl::number_of(const std::vector<std::string_view>& words) const {
    return words.size() > 1 ? base::to_number(words[1]).value_or(0) : 0;
}

std::optional<action> server_engine::impl::in_transaction(std::string_view verb,
                                                          const std::vector<std::string_view>& words) {
    std::uint64_t number = number_of(words);
    if (verb == "quit") {
        auto ids = messages.removed();
        busy = doing::deleting;
        return delete_messages{std::move(ids)};
    }
    if (verb == "stat") {
        reply(fmt::format("+OK {} {}", messages.count(), messages.octets()));
        return std::nullopt;
    }
    if (verb == "list" || verb == "uidl")
        return list(words, verb == "uidl");
    if (verb == "retr" && words.size() == 2 && messages.has(number)) {
        retr_reply = fmt::format("+OK {} octets", messages.octets(number));
        return retrieve(number, std::nullopt);
    }
    if (verb == "top" && words.size() == 3 && messages.has(number)) {
        auto lines_wanted = base::to_number(words[2]);
        if (!lines_wanted)
            return refuse();
        retr_reply = "+OK";
        return retrieve(number, lines_wanted);
    }
    if (verb == "dele" && words.size() == 2 && messages.has(number)) {
        messages.remove(number);
        reply("+OK");
        return std::nullopt;
    }
    if (verb == "rset") {
        messages.restore();
        reply("+OK");
        return std::nullopt;
    }
    if (verb == "noop") {
        reply("+OK");
        return std::nullopt;
    }
    return refuse();
}

std::string server_engine::impl::list_entry(std::uint64_t number, bool uidl) const {
    return uidl ? fmt::format("{} {}.content", number, messages.id(number))
                : fmt::format("{} {}", number, messages.octets(number));
}

std::optional<action> server_engine::impl::list(const std::vector<std::string_view>& words, bool uidl) {
    if (words.size() > 1) {
        std::uint64_t number = number_of(words);
        if (!messages.has(number))
            return refuse("-ERR invalid id");
        reply("+OK " + list_entry(number, uidl));
        return std::nullopt;
    }
    reply(fmt::format("+OK {} message(s)", messages.count()));
    list_at = 1;
    list_uidl = uidl;
    busy = doing::listing;
    return std::nullopt;
}

void server_engine::impl::list_piece() {
    for (; list_at <= messages.highest() && output.size() < output_piece; ++list_at)
        if (messages.has(list_at))
            quietly(list_entry(list_at, list_uidl));
    if (list_at > messages.highest()) {
        quietly(".");
        busy = doing::nothing;
    }
}

std::optional<action> server_engine::impl::retrieve(std::uint64_t number,
                                                    std::optional<std::uint64_t> body_lines) {
    writer.emplace(body_lines);
    busy = doing::retrieving;
    return open_message{std::string(messages.id(number))};
}

void server_engine::message_opened(bool opened) {
    impl& e = *impl_;
    e.busy = opened ? impl::doing::reading : impl::doing::nothing;
    e.reply(opened ? std::string_view(e.retr_reply) : err);
}

void server_engine::content(std::span<const char> bytes, bool last) {
    impl& e = *impl_;
    e.writer->add(bytes, e.output);
    if (!last && !e.writer->has_enough())
        return;
    e.writer->finish(e.output);
    e.writer.reset();
    e.busy = impl::doing::nothing;
}

void server_engine::content_failed() {
    impl_->abort = true; // what was sent is not a message
    impl_->end("cannot read message file");
}

void server_engine::deleted(bool all) {
    impl& e = *impl_;
    e.busy = impl::doing::nothing;
    e.reply(all ? "+OK signing off" : "-ERR some messages were not deleted");
    e.end(all ? "pop protocol done" : "cannot delete message file");
}

void server_engine::tls_established(const base::tls_session& session) {
    impl& e = *impl_;
    e.busy = impl::doing::nothing;
    e.encrypted = true;
    e.bindings = sasl::bindings_of(session);
    e.user_name.clear();
    e.lines = base::line_reader(e.settings.max_auth_line);
}

void server_engine::password_checked(const std::optional<sasl::verdict>& verdict) {
    impl& e = *impl_;
    e.busy = impl::doing::nothing;
    std::optional<action> todo;
    if (verdict)
        todo = e.judge(*verdict);
    else
        todo = e.failed_login();
    e.pending = std::move(todo);
}

void server_engine::computed() {
    impl& e = *impl_;
    e.busy = impl::doing::nothing;
    e.pending = e.take(e.exchange->computed());
}

void server_engine::waited() {
    impl& e = *impl_;
    e.busy = impl::doing::nothing;
    if (e.settings.max_errors != 0 && e.errors >= e.settings.max_errors) {
        e.reply("-ERR too many errors");
        e.end("too many errors");
        return;
    }
    e.reply(err);
}

void server_engine::end_session(std::string_view text, std::string_view reason) {
    impl_->reply("-ERR " + std::string(text));
    impl_->end(reason);
}

bool server_engine::has_output() const noexcept {
    return !impl_->output.empty();
}

std::string server_engine::take_output() {
    return std::exchange(impl_->output, {});
}

bool server_engine::in_command() const noexcept {
    return impl_->lines.begun();
}

std::uint64_t server_engine::lines() const noexcept {
    return impl_->lines.finished();
}

bool server_engine::took_secret() noexcept {
    bool begun = impl_->lines.begun(); // who knows what it is going to be
    return std::exchange(impl_->secret_taken, false) || begun;
}

} // namespace pop
