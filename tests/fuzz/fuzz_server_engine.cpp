// The server engine against a hostile client.
//
// Input: a first line of option letters (c chunking, s size limit, u strict UTF-8, n brackets not required, a
// anonymous, r no Received line, l low limits, d disabled, f failing commits, p passwords, w passwords that
// somebody else checks, t STARTTLS, q TLS required, i TLS from the start), then what the client sends, in
// stages: an octet 0x16 ends one. Where a handshake is due it succeeds then, or fails if 0x15 is next; what a
// client sends before that never reaches the engine.
//
// Oracles: cut in any way, the same input gives the same replies, actions, content and log; every message
// begun is either committed or given up before the next, "message processed" follows a commit only; nothing
// the client wrote reaches replies or log as a control character; no mail in clear where TLS is required,
// none without a login where that is required; a session in clear that has made no mistakes leaves no trace
// in what happens after the handshake; and a megabyte more without an end of line or data costs no memory.
#include "smtp/server_engine.hpp"
#include "support.hpp"

#include "smtp/server_recorder_test.hpp"

#include <sanitizer/allocator_interface.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>

namespace {

using smtp::testing::server_recorder;

struct script {
    smtp::server_settings settings;
    bool available = true;
    bool failing = false;
    bool logins = false;
    bool others_know = false;
    std::string_view input;

    explicit script(std::string_view data) {
        const std::size_t end = std::min(data.find('\n'), data.size());
        const std::string_view options = data.substr(0, end);
        const auto has = [options](char c) {
            return options.find(c) != std::string_view::npos;
        };
        input = data.substr(std::min(end + 1, data.size()));
        settings.domain = "test.example.com";
        settings.version = "0";
        settings.chunking = has('c');
        settings.smtputf8_strict = has('u');
        settings.strict_parsing = !has('n');
        settings.anonymous_server = settings.anonymous_vrfy = has('a');
        settings.anonymous_content = has('r');
        if (has('s'))
            settings.size_limit = 150;
        if (has('l')) {
            settings.max_command_line = 30;
            settings.max_recipients = 2;
            settings.max_hops = 2;
            settings.max_idle_commands = 9;
        }
        available = !has('d');
        failing = has('f');
        logins = has('p');
        others_know = has('w');
        if (has('t'))
            settings.tls = smtp::tls_mode::starttls;
        if (has('i'))
            settings.tls = smtp::tls_mode::implicit;
        settings.tls_required = has('q');
    }

    // Whom to let in, with the letters p and w.
    std::optional<smtp::authentication> required() const {
        const auto fresh_text = [] {
            return std::string("1.2");
        };
        if (others_know) {
            static const auto any =
                std::make_shared<const sasl::mechanism_rules>(sasl::mechanism_rules::parse("", false));
            return smtp::authentication{sasl::server(any), fresh_text};
        }
        if (!logins)
            return std::nullopt;
        static const auto known =
            sasl::secrets::parse("server plain me secret\nserver none 10.0.0.0/8 x\n").value;
        static const auto rules = std::make_shared<const sasl::mechanism_rules>(
            sasl::mechanism_rules::parse("m:plain,login,cram-md5,scram-sha-256,scram-sha-256-plus", false));
        static const auto salt = std::make_shared<const base::secret_text>("salt");
        return smtp::authentication{sasl::server(known, rules, salt), fresh_text};
    }

    std::unique_ptr<server_recorder> recorder() const {
        settings.syntax_hint_given->store(false);
        auto r = std::make_unique<server_recorder>(settings, smtp::peer_info{"192.0.2.1", false}, available,
                                                   required());
        if (failing)
            r->outcomes.assign(input.size(), smtp::commit_outcome{452, "failed\r\n"});
        if (settings.tls == smtp::tls_mode::implicit)
            r->tls_established(session());
        return r;
    }

    static base::tls_session session() {
        return {.protocol = "TLSv1.3",
                .cipher = "TLS_AES_256_GCM_SHA384",
                .peer_certificate = {},
                .server_end_point = "end point",
                .exporter = "exporter",
                .unique = {}};
    }
};

bool is_safe_to_show(const std::string& line) {
    return std::ranges::all_of(line,
                               [](char c) { return static_cast<unsigned char>(c) >= 0x20 && c != 0x7f; });
}

bool is_safe_unless_action(const std::string& line) {
    return line.starts_with("A: ") || is_safe_to_show(line);
}

void check_order(const std::vector<std::string>& record) {
    bool begun = false, committed = false;
    for (const std::string& line : record) {
        if (line == "A: begin")
            require(!std::exchange(begun, true), "a message begins inside another");
        if (line == "A: open" || line == "A: commit")
            require(begun, "content without a message");
        if (line == "A: discard")
            require(std::exchange(begun, false), "nothing to discard");
        if (line == "S: 250 message processed")
            require(committed, "accepted without a commit");
        committed = line == "A: commit";
        if (committed)
            begun = false;
        if (line.starts_with("A: close") || line.starts_with("A: abort"))
            require(!begun, "closed with a message in hand");
    }
}

void expect_same(const server_recorder& a, const server_recorder& b) {
    require(a.record == b.record, "another record when cut");
    require(a.envelopes == b.envelopes, "another envelope when cut");
    require(a.contents == b.contents, "another content when cut");
    require(a.log.lines == b.log.lines, "another log when cut");
    require(a.closed == b.closed, "another end when cut");
}

// Pieces of 1 to 16 octets, or of 1 to 500, chosen by the input itself.
void feed_in_pieces(server_recorder& r, std::string_view input, std::uint32_t seed, std::uint32_t longest) {
    while (!input.empty()) {
        seed = seed * 1664525U + 1013904223U;
        const std::size_t n = std::min<std::size_t>(1 + (seed >> 16) % longest, input.size());
        r.feed(input.substr(0, n));
        input.remove_prefix(n);
    }
}

constexpr char end_of_stage = '\x16', failed_handshake = '\x15';

// Stage by stage, with the handshakes between them.
template <class Feed>
void feed_stages(server_recorder& r, std::string_view input, Feed feed) {
    while (!input.empty() && !r.closed) {
        const std::size_t end = std::min(input.find(end_of_stage), input.size());
        feed(r, input.substr(0, end));
        input.remove_prefix(std::min(end + 1, input.size()));
        if (!r.in_handshake)
            continue;
        if (input.starts_with(failed_handshake))
            r.tls_failed();
        else
            r.tls_established(script::session());
    }
}

void feed_whole(server_recorder& r, std::string_view stage) {
    r.feed(stage);
}

// No mail without what has to come first.
void check_permission(const script& s, const std::vector<std::string>& record) {
    bool encrypted = s.settings.tls == smtp::tls_mode::implicit, logged_in = false;
    for (const std::string& line : record) {
        if (line == "A: start tls") {
            encrypted = true;
            logged_in = false;
        }
        logged_in = logged_in || line == "S: 235 authentication successful";
        if (line != "A: begin" && !line.starts_with("A: verify"))
            continue;
        require(encrypted || !s.settings.tls_required, "mail in clear");
        require(logged_in || !(s.logins || s.others_know), "mail without a login");
    }
}

using lines = std::vector<std::string>;

lines after_handshake(const lines& record) {
    const auto at = std::ranges::find(record, "A: start tls");
    return at == record.end() ? lines() : lines(at + 1, record.end());
}

// What came in clear is compared with a session in which STARTTLS comes at once. Mistakes are counted across
// the handshake, so there must not have been any; so are commands.
void check_nothing_survives(const script& s, const lines& record) {
    const std::size_t end = s.input.find(end_of_stage);
    const auto at = std::ranges::find(record, "A: start tls");
    if (s.settings.tls != smtp::tls_mode::starttls || end == std::string_view::npos || at == record.end() ||
        s.settings.max_idle_commands < 100 || at - record.begin() > 20 || record.size() > 500)
        return;
    const auto is_mistake = [](const std::string& line) {
        return line.starts_with("S: 5") || line.starts_with("S: 4") || line.starts_with("A: commit");
    };
    if (std::any_of(record.begin(), at, is_mistake))
        return;
    if (s.input.substr(end + 1).starts_with(failed_handshake))
        return;
    const auto fresh = s.recorder();
    feed_whole(*fresh, "STARTTLS\r\n");
    if (!fresh->in_handshake)
        return;
    fresh->tls_established(script::session());
    feed_stages(*fresh, s.input.substr(end + 1), feed_whole);
    require(after_handshake(fresh->record) == after_handshake(record), "what came in clear was remembered");
}

std::uint32_t hash_of(std::string_view text) {
    std::uint32_t h = 2166136261U;
    for (char c : text)
        h = (h ^ static_cast<unsigned char>(c)) * 16777619U;
    return h;
}

// Goes on until the engine wants more; false when it has closed. Keeps nothing.
bool settle(smtp::server_engine& engine) {
    for (;;) {
        const smtp::server_action todo = engine.next();
        engine.take_output();
        if (std::holds_alternative<smtp::read_more>(todo))
            return true;
        if (std::holds_alternative<smtp::close_session>(todo))
            return false;
        if (std::holds_alternative<smtp::check_recipient>(todo))
            engine.recipient_checked({});
        else if (std::holds_alternative<smtp::start_tls>(todo))
            engine.tls_established(script::session());
        else if (const auto* password = std::get_if<smtp::check_password>(&todo))
            engine.password_checked(sasl::failed(password->asked));
        else if (const auto* work = std::get_if<smtp::compute>(&todo)) {
            work->job();
            engine.computed();
        } else if (std::holds_alternative<smtp::wait_a_while>(todo))
            engine.waited();
        else if (std::holds_alternative<smtp::open_content>(todo))
            engine.content_opened({});
        else if (std::holds_alternative<smtp::commit_message>(todo))
            engine.message_committed({});
    }
}

void check_memory(const script& s) {
    static const std::string more(1 << 18, 'x');
    smtp::testing::log_record log;
    log.everything = false;
    smtp::server_engine engine(s.settings, {"192.0.2.1", false}, base::logger(log));
    if (auto required = s.required())
        engine.require(std::move(*required));
    engine.start(s.available);
    engine.feed(s.input);
    if (!settle(engine))
        return;
    const std::size_t before = __sanitizer_get_current_allocated_bytes();
    for (int i = 0; i < 4; ++i) {
        engine.feed(more);
        if (!settle(engine))
            return;
        require(__sanitizer_get_current_allocated_bytes() <=
                    before + std::max(s.settings.max_command_line, s.settings.max_auth_line) + 1024,
                "memory grows");
    }
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
    const script s(std::string_view(reinterpret_cast<const char*>(bytes), size));
    const auto whole = s.recorder();
    feed_stages(*whole, s.input, feed_whole);
    check_order(whole->record);
    check_permission(s, whole->record);
    check_nothing_survives(s, whole->record);
    require(std::ranges::all_of(whole->record, is_safe_unless_action), "control character in a reply");
    require(std::ranges::all_of(whole->log.lines, is_safe_to_show), "control character in the log");

    for (std::uint32_t longest : {1U, 16U, 500U}) {
        const auto cut = s.recorder();
        const auto in_pieces = [&](server_recorder& r, std::string_view stage) {
            feed_in_pieces(r, stage, hash_of(s.input), longest);
        };
        feed_stages(*cut, s.input, in_pieces);
        expect_same(*whole, *cut);
    }
    check_memory(s);
    return 0;
}
