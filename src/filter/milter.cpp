#include "filter/milter.hpp"

#include "base/text.hpp"
#include "spool/content_edits.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>
#include <variant>

namespace filter {

namespace {

constexpr std::size_t longest_header = 1024 * 1024;
constexpr std::size_t most_fields = 5000; // each is held as long as the milter talks, and looked for by edits
constexpr std::size_t copied_at_once = 64 * 1024;
// A milter that is not ready yet says so, and gets its time once more; this many times for one reply.
constexpr int most_times = 20;

std::string upper(std::string_view text) {
    std::string out(text);
    for (char& c : out)
        if (c >= 'a' && c <= 'z')
            c = static_cast<char>(c - 'a' + 'A');
    return out;
}

// The relay's own is not shown, as other mail servers do it.
std::size_t hidden_fields(const job& now, const mail::header_section& header) {
    if (now.what != kind::server || !now.session || header.fields().empty())
        return 0;
    const mail::header_field& first = header.fields().front();
    bool ours =
        first.is("Received") && first.body().find("by " + now.session->domain) != std::string_view::npos;
    return ours ? 1 : 0;
}

void describe_client(const job& now, const mail::envelope& envelope, milter_message& m) {
    const session_facts* session = now.session;
    m.address = session ? session->address : envelope.client;
    bool unix_domain = session ? session->unix_domain : m.address.starts_with('/');
    m.port = session ? session->port : std::uint16_t{0};
    m.helo = session ? session->helo : "";
    bool known = unix_domain || net::is_ip_literal(m.address);
    m.family = !known ? 'U' : unix_domain ? 'L' : m.address.find(':') == m.address.npos ? '4' : '6';
    m.client_name = unix_domain ? "localhost" : known ? "[" + m.address + "]" : "unknown";
}

// Those that Postfix gives its milters.
macros macros_of(const job& now, const mail::envelope& envelope, const milter_message& m) {
    macros out;
    auto add = [&out](const char* name, std::string value) {
        if (!value.empty())
            out.emplace_back(name, std::move(value));
    };
    const std::string known_as = m.family == 'L' ? "localhost" : "unknown";
    add("i", now.id);
    add("v", "emailrelay " EMAILRELAY_VERSION);
    add("_", fmt::format("{} [{}]", known_as, m.address));
    add("{client_addr}", m.address);
    add("{client_name}", known_as);
    add("{client_ptr}", known_as);
    add("{client_port}", std::to_string(m.port));
    add("{client_connections}", "1");
    add("{mail_addr}", envelope.from);
    std::size_t at = envelope.from.rfind('@');
    add("{mail_host}", at == envelope.from.npos ? "" : envelope.from.substr(at + 1));
    add("{mail_mailer}", "smtp");
    if (const session_facts* session = now.session) {
        add("j", session->domain);
        add("{daemon_name}", session->domain);
        add("{daemon_addr}", session->local_address);
        add("{daemon_port}", std::to_string(session->local_port));
        add("{if_name}", session->domain);
        add("{if_addr}", session->local_address);
        add("{tls_version}", session->tls_protocol);
        add("{cipher}", session->tls_cipher);
        if (!session->mechanism.empty()) {
            add("{auth_type}", upper(session->mechanism));
            add("{auth_authen}", session->identity);
            add("{auth_author}", session->identity);
        }
    }
    return out;
}

milter_message describe(const job& now, const mail::envelope& envelope, const mail::header_section& header,
                        std::size_t hidden, std::uint64_t size) {
    milter_message m;
    describe_client(now, envelope, m);
    m.sender = envelope.from;
    m.sender_parameters.push_back(fmt::format("SIZE={}", size));
    if (envelope.content == mail::body_type::eight_bit)
        m.sender_parameters.emplace_back("BODY=8BITMIME");
    if (envelope.utf8_mailboxes)
        m.sender_parameters.emplace_back("SMTPUTF8");
    m.recipients = envelope.to_local;
    m.recipients.insert(m.recipients.end(), envelope.to_remote.begin(), envelope.to_remote.end());
    for (std::size_t i = hidden; i < header.fields().size(); ++i)
        m.headers.push_back(field_for_milter(header.fields()[i]));
    m.all_macros = macros_of(now, envelope, m);
    return m;
}

bool changes_header(const milter_edit& edit) {
    using change = milter_edit::kind;
    return edit.what == change::add_header || edit.what == change::insert_header ||
           edit.what == change::change_header;
}

base::result<void> copy_from(os::filesystem& files, const os::file& from, std::uint64_t at,
                             temporary_file& to) {
    std::vector<char> buffer(copied_at_once);
    for (;;) {
        auto n = files.read_at(from, at, buffer);
        if (n.has_error())
            return n.error();
        if (*n == 0)
            return {};
        if (auto written = to.write({buffer.data(), *n}); written.has_error())
            return written;
        at += *n;
    }
}

} // namespace

struct milter::message {
    message(spool::store& store, const job& now)
        : files(store, now), new_body(files, spool::content_edits::milter_body) {}

    message_files files;
    mail::parsed_envelope envelope;
    os::file content;
    mail::message_header header;
    std::size_t hidden = 0;
    std::uint64_t at = 0; // next octet of the body that the milter gets
    milter_message description;
    temporary_file new_body;
};

milter::milter(net::target server, const std::string& shown, const services& with)
    : work_(with.work), store_(with.store), timeout_(with.timeout), name_("milter:" + shown),
      connection_(with.on, std::move(server), with.timeout) {}

net::awaitable<result> milter::run(const job& now) {
    message about(store_, now);
    auto loading = [&] {
        return load(now, about);
    };
    auto loaded = co_await work_.run(loading);
    if (loaded.has_error())
        co_return result::fail("failed", loaded.error().message());
    auto said = co_await converse(about);
    connection_.close();
    auto settling = [&]() -> base::result<result> {
        auto settled = said.has_error() ? base::result<result>(said.error()) : settle(now, about, *said);
        about.new_body.remove();
        return settled;
    };
    auto settled = co_await work_.run(settling);
    if (settled.has_error())
        co_return result::fail("failed", settled.error().message());
    co_return std::move(*settled);
}

// [blocks]
base::result<void> milter::load(const job& now, message& into) {
    os::filesystem& files = into.files.directory().files();
    auto envelope = into.files.read_envelope();
    if (envelope.has_error())
        return envelope.error();
    into.envelope = std::move(*envelope);
    auto content = into.files.open_content();
    if (content.has_error())
        return content.error();
    into.content = std::move(content->file);
    const std::uint64_t size = content->about.size;
    std::string beginning(std::min<std::uint64_t>(size, longest_header), '\0');
    auto n = files.read_at(into.content, 0, beginning);
    if (n.has_error())
        return n.error();
    beginning.resize(*n);
    into.header = mail::read_header(beginning);
    if (into.header.size == longest_header)
        return base::error{{}, "header too long for a milter"};
    if (into.header.section.fields().size() > most_fields)
        return base::error{{}, "too many header fields for a milter"};
    into.hidden = hidden_fields(now, into.header.section);
    into.at = into.header.size;
    into.description = describe(now, into.envelope.value, into.header.section, into.hidden, size);
    return {};
}

net::awaitable<base::result<milter_outcome>> milter::converse(message& about) {
    connection_.close();
    connection_.begin();
    auto opened = co_await connection_.open();
    if (opened.has_error())
        co_return opened.error();
    milter_engine engine(std::move(about.description));
    net::time_point patience = net::time_point::max();
    for (;;) {
        milter_todo todo = engine.next();
        if (auto* end = std::get_if<milter_action::finished>(&todo)) {
            std::string last = engine.take_output();
            auto sent = co_await connection_.write(last);
            (void)sent.has_error(); // it has said what it had to say
            co_return std::move(end->outcome);
        }
        if (auto* bad = std::get_if<milter_action::failed>(&todo))
            co_return base::error{{}, std::move(bad->reason)};
        auto done = base::result<void>();
        if (auto* part = std::get_if<milter_action::replace_body>(&todo)) {
            std::string bytes(part->bytes.data(), part->bytes.size());
            done = co_await keep_new_body(about, std::move(bytes));
        } else if (std::holds_alternative<milter_action::supply_body>(todo)) {
            done = co_await supply_body(about, engine);
            patience = net::deadline_after(timeout_ * most_times);
        } else {
            std::string out = engine.take_output();
            if (!out.empty()) {
                done = co_await connection_.write(out);
                patience = net::deadline_after(timeout_ * most_times);
            }
            if (done.has_value() && std::chrono::steady_clock::now() > patience)
                done = base::error{{}, "milter protocol error: no reply in spite of progress"};
            if (done.has_value()) {
                connection_.more_time();
                auto heard = co_await connection_.read();
                if (heard.has_error())
                    co_return heard.error();
                engine.feed(*heard);
            }
        }
        if (done.has_error())
            co_return done.error();
    }
}

net::awaitable<base::result<void>> milter::supply_body(message& about, milter_engine& engine) {
    std::vector<char> buffer(milter_engine::body_piece);
    auto read = [&] {
        return about.files.directory().files().read_at(about.content, about.at, buffer);
    };
    auto n = co_await work_.run(read);
    if (n.has_error())
        co_return n.error();
    about.at += *n;
    if (*n == 0)
        engine.end_of_body();
    else
        engine.body({buffer.data(), *n});
    // Sent at once: if the milter gives no replies to this there may be much of it.
    std::string out = engine.take_output();
    co_return co_await connection_.write(out);
}

net::awaitable<base::result<void>> milter::keep_new_body(message& about, std::string bytes) {
    auto write = [&]() -> base::result<void> {
        if (!about.new_body.exists())
            if (auto made = about.new_body.make(); made.has_error())
                return made;
        return about.new_body.write(bytes);
    };
    co_return co_await work_.run(write);
}

// [blocks]
base::result<result> milter::settle(const job& now, message& about, const milter_outcome& said) {
    using verdict = milter_outcome::verdict;
    switch (said.what) {
    case verdict::reject:
    case verdict::tempfail:
        return result::fail(said.text, fmt::format("{} {}", said.code, said.text), said.code);
    case verdict::discard:
        if (auto removed = about.files.remove_envelope(); removed.has_error())
            return removed.error();
        if (auto removed = about.files.remove_content(); removed.has_error())
            return removed.error();
        now.log.summary("{} [{}]: [{}]: discarded", prefix_of(now.what), name_, now.id);
        return result::abandon();
    case verdict::accept:
        break;
    }
    if (auto edited = edit_content(about, said); edited.has_error())
        return edited.error();
    auto anybody_left = edit_envelope(about, said);
    if (anybody_left.has_error())
        return anybody_left.error();
    if (said.quarantine)
        return quarantine(now, about, "quarantined: " + said.quarantine_reason);
    if (!*anybody_left) {
        milter_outcome nobody;
        nobody.what = verdict::discard;
        return settle(now, about, nobody);
    }
    return result::ok();
}

// [blocks] Written beside the content and renamed: whatever happens, one of the two is whole.
base::result<void> milter::edit_content(message& about, const milter_outcome& said) {
    bool header_changes = std::any_of(said.edits.begin(), said.edits.end(), changes_header);
    if (!header_changes && !said.body_replaced)
        return {};
    std::uint64_t body = about.header.size;
    apply(said.edits, about.hidden, about.header.section);
    temporary_file written(about.files, spool::content_edits::milter);
    if (auto made = written.make(); made.has_error())
        return made;
    if (auto done = written.write(about.header.text()); done.has_error())
        return done;
    os::filesystem& files = about.files.directory().files();
    auto copied = said.body_replaced ? copy_from(files, about.new_body.file(), 0, written)
                                     : copy_from(files, about.content, body, written);
    return copied.has_error() ? copied : written.replace_content();
}

// [blocks] Whether anybody is left to send the message to.
base::result<bool> milter::edit_envelope(message& about, const milter_outcome& said) {
    using change = milter_edit::kind;
    mail::envelope& envelope = about.envelope.value;
    const mail::envelope before = envelope;
    for (const milter_edit& edit : said.edits) {
        auto is_it = [&edit](const std::string& one) {
            return base::iequals(one, edit.name);
        };
        if (edit.what == change::change_sender)
            envelope.from = edit.name;
        else if (edit.what == change::add_recipient)
            envelope.to_remote.push_back(edit.name);
        else if (edit.what == change::delete_recipient) {
            std::erase_if(envelope.to_remote, is_it);
            std::erase_if(envelope.to_local, is_it);
        }
    }
    if (!(envelope == before)) {
        envelope.utf8_mailboxes = envelope.utf8_mailboxes || !base::is_ascii(envelope.from) ||
                                  !std::all_of(envelope.to_remote.begin(), envelope.to_remote.end(),
                                               [](const std::string& one) { return base::is_ascii(one); });
        if (auto written = about.files.write_envelope(envelope, about.envelope.extra); written.has_error())
            return written.error();
    }
    return !envelope.to_remote.empty() || !envelope.to_local.empty();
}

// [blocks] As a message that could not be sent, for the administrator to look at; stored as safely as one
// that was accepted.
base::result<result> milter::quarantine(const job& now, message& about, const std::string& reason) {
    if (now.what != kind::server)
        return result::fail("rejected", reason);
    spool::folder& directory = about.files.directory();
    auto content = about.files.open_content();
    if (content.has_error())
        return content.error();
    if (auto flushed = directory.files().flush(content->file); flushed.has_error())
        return flushed.error();
    auto text = mail::rewrite_envelope(about.envelope.value, about.envelope.extra) +
                mail::format_reason(reason, std::nullopt, true);
    if (auto written = directory.replace(now.id + ".envelope.bad", text); written.has_error())
        return written.error();
    if (auto removed = about.files.remove_envelope(); removed.has_error())
        return removed.error();
    if (auto flushed = directory.flush(); flushed.has_error())
        return flushed.error();
    now.log.warning("{} [{}]: [{}]: {}", prefix_of(now.what), name_, now.id, base::printable(reason));
    return result::abandon();
}

} // namespace filter
