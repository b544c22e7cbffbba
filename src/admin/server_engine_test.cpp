// Conversations with the admin engine (spec/admin.md): replies to the octet, in both line-end modes, however
// the input is cut.
#include "admin/server_engine.hpp"

#include <gmock/gmock.h>

#include <algorithm>
#include <memory>

using testing::HasSubstr;

namespace admin {
namespace {

const std::string prompt = "E-MailRelay> ";

// Plays the driver: answers from what is set here and writes down what was asked.
class client {
public:
    explicit client(server_settings s = plain()) : settings(std::move(s)), engine(settings) {}

    static server_settings plain() {
        server_settings s;
        s.version = "3.0.0";
        s.process_id = 4711;
        s.can_forward = true;
        return s;
    }

    // All of the output; the most that was held of it is in `most_held`.
    std::string say(std::string_view text, std::size_t piece = std::string_view::npos) {
        written.clear();
        while (!text.empty() && !closed) {
            auto part = text.substr(0, piece);
            text.remove_prefix(part.size());
            const std::unique_ptr<char[]> copy(new char[part.size()]);
            part.copy(copy.get(), part.size());
            engine.feed({copy.get(), part.size()});
            go_on();
        }
        write();
        return written;
    }

    void write() {
        const std::string piece = engine.take_output();
        most_held = std::max(most_held, piece.size());
        written += piece;
    }

    void go_on() {
        for (;;) {
            action todo = engine.next();
            if (std::holds_alternative<read_more>(todo))
                return;
            if (std::holds_alternative<write_output>(todo)) {
                write();
                continue;
            }
            if (auto* end = std::get_if<close_session>(&todo)) {
                closed = true;
                reason = end->reason;
                return;
            }
            answer(todo);
        }
    }

    void answer(const action& todo) {
        using which = list_messages::which;
        if (auto* list = std::get_if<list_messages>(&todo)) {
            asked += list->what == which::ready    ? "list;"
                     : list->what == which::failed ? "failures;"
                                                   : "held;";
            engine.listed(ids);
        } else if (auto* show = std::get_if<show_message>(&todo)) {
            asked += "show " + show->id + ";";
            engine.shown(details);
        } else if (auto* change = std::get_if<change_message>(&todo)) {
            constexpr std::array names{"unfail", "remove", "hold", "release"};
            asked += std::string(names.at(static_cast<std::size_t>(change->what))) + " " + change->id + ";";
            engine.changed(outcome);
        } else if (std::holds_alternative<unfail_all>(todo)) {
            asked += "unfail-all;";
            engine.unfailed();
        } else if (std::holds_alternative<forward_now>(todo)) {
            asked += "forward;";
        } else if (std::holds_alternative<flush_now>(todo)) {
            asked += "flush;";
        } else if (std::holds_alternative<begin_events>(todo)) {
            asked += "notify;";
        } else if (std::holds_alternative<tell_status>(todo)) {
            engine.status(now);
        } else if (std::holds_alternative<tell_counters>(todo)) {
            engine.counters({{"smtp_sessions", 3}, {"messages_sent", 0}});
        } else if (auto* smtp = std::get_if<enable_smtp>(&todo)) {
            asked += smtp->on ? "smtp on;" : "smtp off;";
        } else if (auto* dnsbl = std::get_if<switch_dnsbl>(&todo)) {
            asked += (dnsbl->on ? "dnsbl on " : "dnsbl off ") + std::to_string(dnsbl->off_for) + ";";
        } else if (std::holds_alternative<terminate>(todo)) {
            asked += "terminate;";
        }
    }

    server_settings settings;
    server_engine engine;
    base::result<std::vector<std::string>> ids = std::vector<std::string>{};
    base::result<message_details> details = message_details{};
    base::result<void> outcome{};
    status_report now;
    std::string asked;
    std::string written;
    std::size_t most_held = 0;
    bool closed = false;
    std::string reason;
};

const std::string commands =
    "commands: dnsbl, failures, flush, forward, help, info, list, notify, pid, quit, smtp, "
    "status, unfail-all";

} // namespace

TEST(admin_engine, says_nothing_before_the_first_line) {
    client c;
    c.go_on();
    EXPECT_FALSE(c.engine.has_output());
}

TEST(admin_engine, line_ends_are_those_of_the_first_line) {
    EXPECT_EQ(client().say("help\n"), commands + "\n" + prompt);
    EXPECT_EQ(client().say("help\r\n"), commands + "\r\n" + prompt);
    client crlf;
    EXPECT_EQ(crlf.say("pid\r\nHELP\n"), "4711\r\n" + prompt);
    EXPECT_EQ(crlf.say("\r\n"), commands.substr(0, 0) + "error: unrecognised command\r\n" + prompt)
        << "a lone LF does not end a command";
    client lf;
    EXPECT_EQ(lf.say("pid\n pid \r\n\n"), "4711\n" + prompt + "4711\n" + prompt + prompt)
        << "CR is white space, an empty line gives the prompt";
}

TEST(admin_engine, several_commands_in_one_piece) {
    client c;
    EXPECT_EQ(c.say("help\nlist\npid\n"), commands + "\n" + prompt + "<none>\n" + prompt + "4711\n" + prompt);
}

TEST(admin_engine, answers_to_many_commands_do_not_gather) {
    client c;
    std::string many, answers;
    for (int i = 0; i < 10'000; ++i) {
        many += "pid\n";
        answers += "4711\n" + prompt;
    }
    EXPECT_EQ(c.say(many), answers);
    EXPECT_LT(c.most_held, 33'000U);
}

TEST(admin_engine, replies) {
    struct row {
        std::string_view said, reply, asked;
    };
    for (const row& r : std::initializer_list<row>{
             {"HELP more words",
              "commands: dnsbl, failures, flush, forward, help, info, list, notify, pid, quit, "
              "smtp, status, unfail-all\n",
              ""},
             {"list", "<none>\n", "list;"},
             {"failures", "<none>\n", "failures;"},
             {"unfail-all", "", "unfail-all;"},
             {"forward", "OK\n", "forward;"},
             {"pid", "4711\n", ""},
             {"info version", "3.0.0\n", ""},
             {"info", "usage: info {copyright|credit|version|warranty}\n", ""},
             {"info foo", "usage: info {copyright|credit|version|warranty}\n", ""},
             {"smtp disable", "OK\n", "smtp off;"},
             {"smtp enable", "OK\n", "smtp on;"},
             {"smtp", "usage: smtp {disable|enable}\n", ""},
             {"smtp x", "usage: smtp {disable|enable}\n", ""},
             {"dnsbl start", "OK\n", "dnsbl on 0;"},
             {"dnsbl stop", "OK\n", "dnsbl off 4294967295;"},
             {"dnsbl stop 3", "OK\n", "dnsbl off 3;"},
             {"dnsbl start 3", "usage: dnsbl {start|stop <timeout>}\n", ""},
             {"dnsbl stop x", "usage: dnsbl {start|stop <timeout>}\n", ""},
             {"dnsbl", "usage: dnsbl {start|stop <timeout>}\n", ""},
             {"terminate", "error: unrecognised command\n", ""},
             {"config", "error: unrecognised command\n", ""},
             {"version", "error: unrecognised command\n", ""},
             {"show", "usage: show <id>\n", ""},
             {"hold emailrelay.1.2.3", "OK\n", "hold emailrelay.1.2.3;"},
             {"release x", "OK\n", "release x;"},
             {"remove x", "OK\n", "remove x;"},
             {"unfail x", "OK\n", "unfail x;"},
             {"list --held", "<none>\n", "held;"},
             {"list --json", "{\"ready\":[]}\n", "list;"},
             {"stats", "smtp_sessions 3\nmessages_sent 0\n", ""},
             {"stats --json", "{\"smtp_sessions\":3,\"messages_sent\":0}\n", ""},
         }) {
        client c;
        EXPECT_EQ(c.say(std::string(r.said) + "\n"), std::string(r.reply) + prompt) << r.said;
        EXPECT_EQ(c.asked, r.asked) << r.said;
    }
    client silent;
    EXPECT_EQ(silent.say("notify\n"), "");
    EXPECT_EQ(silent.asked, "notify;");
    EXPECT_EQ(silent.say("quit\npid\n"), "");
    EXPECT_TRUE(silent.closed);
    EXPECT_EQ(silent.reason, "");
}

TEST(admin_engine, terminate_if_allowed) {
    auto settings = client::plain();
    settings.may_terminate = true;
    client c(settings);
    EXPECT_THAT(c.say("help\n"), HasSubstr("status, terminate, unfail-all\n"));
    EXPECT_EQ(c.say("terminate\n"), "");
    EXPECT_EQ(c.asked, "terminate;");
}

TEST(admin_engine, flush_answers_later) {
    client c;
    EXPECT_EQ(c.say("flush\nflush\npid\n"), "error: still working\n" + prompt + "4711\n" + prompt);
    c.engine.flush_ended("");
    EXPECT_EQ(c.engine.take_output(), "OK\n" + prompt);
    EXPECT_EQ(c.say("flush\n"), "");
    c.engine.flush_ended("no messages to send");
    EXPECT_EQ(c.engine.take_output(), "error: no messages to send\n" + prompt);
    EXPECT_EQ(c.asked, "flush;flush;");
}

TEST(admin_engine, without_a_next_hop) {
    auto settings = client::plain();
    settings.can_forward = false;
    client c(settings);
    const std::string error = "error: no remote server configured: use --forward-to\n" + prompt;
    EXPECT_EQ(c.say("flush\nforward\n"), error + error);
    EXPECT_EQ(c.asked, "");
}

TEST(admin_engine, lists_have_plain_line_ends) {
    client c;
    c.ids = std::vector<std::string>{"emailrelay.1.2.3", "foo\tbar"};
    EXPECT_EQ(c.say("list\r\n"), "emailrelay.1.2.3\r\nfoo\\tbar\r\n" + prompt);
    EXPECT_EQ(c.say("failures --json\r\n"), "{\"failed\":[\"emailrelay.1.2.3\",\"foo\\tbar\"]}\r\n" + prompt);
    c.ids = base::error{{}, "cannot read"};
    EXPECT_EQ(c.say("list\r\n"), "error: cannot read\r\n" + prompt);
    EXPECT_EQ(c.say("list --json\r\n"), "{\"error\":\"cannot read\"}\r\n" + prompt);
}

TEST(admin_engine, status) {
    client c;
    c.now.listening = {"127.0.0.1:21001"};
    c.now.out_started = 1;
    c.now.in_started = 3;
    c.now.in_finished = 1;
    c.now.out = {{"127.0.0.1:39504", "127.0.0.1:21011"}};
    c.now.in = {{"127.0.0.1:21002", "127.0.0.1:56718"}};
    EXPECT_EQ(c.say("status\n"), "LISTEN: 127.0.0.1:21001\nOUT started: 1\nOUT finished: 0\n"
                                 "OUT: 127.0.0.1:39504 -> 127.0.0.1:21011\nIN started: 3\nIN finished: 1\n"
                                 "IN: 127.0.0.1:21002 <- 127.0.0.1:56718\n" +
                                     prompt);
    EXPECT_EQ(
        c.say("status --json\n"),
        "{\"listen\":[\"127.0.0.1:21001\"],\"out\":{\"started\":1,\"finished\":0,\"open\":[{\"local\":"
        "\"127.0.0.1:39504\",\"peer\":\"127.0.0.1:21011\"}]},\"in\":{\"started\":3,\"finished\":1,\"open\":"
        "[{\"local\":\"127.0.0.1:21002\",\"peer\":\"127.0.0.1:56718\"}]}}\n" +
            prompt);
}

TEST(admin_engine, show) {
    client c;
    message_details m;
    m.id = "emailrelay.1.2.3";
    m.state = "failed";
    m.envelope.from = "a@b";
    m.envelope.to_local = {"bob"};
    m.envelope.to_remote = {"x@y"};
    m.extra = {"X-MailRelay-Reason: go away", "X-MailRelay-ReasonCode: 550", "X-MailRelay-Reason: no",
               "X-MailRelay-ReasonCode:"};
    m.content_size = 12;
    m.beginning = "Subject: \xff\x01\r\n folded\r\n\r\nbody\r\n";
    c.details = m;
    EXPECT_EQ(c.say("show emailrelay.1.2.3\n"),
              "id: emailrelay.1.2.3\nstate: failed\nsize: 12\nfrom: a@b\nto-local: bob\nto: x@y\n"
              "content: unknown\nreason: go away\nreason-code: 550\nreason: no\n"
              "header: Subject: \xff\\x01\nheader:  folded\n" +
                  prompt);
    EXPECT_EQ(c.asked, "show emailrelay.1.2.3;");
    const std::string json = c.say("show --json emailrelay.1.2.3\n");
    EXPECT_THAT(json, HasSubstr("\"failures\":[{\"reason\":\"go away\",\"code\":550},{\"reason\":\"no\"}]"));
    EXPECT_THAT(json, HasSubstr("\"headers\":[\"Subject: \\\\xff\\\\x01\",\" folded\"]"));
    c.details = base::error{{}, "no such message"};
    EXPECT_EQ(c.say("show x\n"), "error: no such message\n" + prompt);
}

TEST(admin_engine, events_begin_lines_and_do_not_end_them) {
    client c;
    EXPECT_EQ(c.say("notify\r\n"), "");
    c.engine.event("client: forward: start: admin");
    c.engine.event("client: forward: end");
    EXPECT_EQ(c.engine.take_output(),
              "\r\nEVENT: client: forward: start: admin  \r\nEVENT: client: forward: end  ");
}

TEST(admin_engine, thirty_errors_are_enough) {
    client c;
    std::string all;
    for (int i = 0; i < 40; ++i)
        all += c.say("rubbish\n");
    EXPECT_TRUE(c.closed);
    EXPECT_EQ(c.reason, "too many errors");
    const std::string one = "error: unrecognised command\n" + prompt;
    EXPECT_EQ(all.size(), 30 * one.size());
}

// What a page in somebody's browser can make of a port on the same machine.
TEST(admin_engine, commands_in_an_http_request_are_not_executed) {
    const std::string refusal = "error: unrecognised command\r\n" + prompt;
    for (const std::string& line :
         {std::string("POST / HTTP/1.1"), "GET /" + std::string(5000, 'a') + " HTTP/1.1"}) {
        auto settings = client::plain();
        settings.may_terminate = true;
        client c(settings);
        EXPECT_EQ(c.say(line + "\r\nHost: localhost:25\r\n\r\nunfail-all\r\nterminate\r\n"), refusal);
        EXPECT_TRUE(c.closed);
        EXPECT_EQ(c.reason, "http request");
        EXPECT_EQ(c.asked, "");
    }
    client later;
    EXPECT_EQ(later.say("pid\r\nGET /\r\npid\r\n"), "4711\r\n" + prompt + refusal + "4711\r\n" + prompt);
}

TEST(admin_engine, a_line_without_end_costs_no_memory) {
    for (std::string_view end : {"\n", "\r\n"}) {
        client c;
        std::string reply;
        for (int i = 0; i < 1000; ++i)
            reply += c.say(std::string(10'000, 'x'));
        EXPECT_EQ(reply, "");
        reply = c.say(std::string(end) + "pid" + std::string(end));
        EXPECT_EQ(reply, "error: unrecognised command" + std::string(end) + prompt + "4711" +
                             std::string(end) + prompt);
    }
    client at_once;
    EXPECT_EQ(at_once.say("pid " + std::string(5000, 'x') + "\r\npid\r\n"),
              "error: unrecognised command\r\n" + prompt + "4711\r\n" + prompt);
    client just;
    EXPECT_EQ(just.say("pid " + std::string(4092, 'x') + "\r\n"), "4711\r\n" + prompt);
}

TEST(admin_engine, input_may_be_cut_anywhere) {
    for (std::string_view end : {"\n", "\r\n"}) {
        std::string all;
        for (std::string_view text : {"help", "", "list", "x\ry", "a\nb", "info copyright", "flush", "flush",
                                      "dnsbl stop 7", "hold m", "quit"})
            all.append(text).append(end);
        client whole;
        const std::string wanted = whole.say(all);
        for (std::size_t piece = 1; piece < 12; ++piece) {
            client cut;
            std::string got;
            EXPECT_EQ(cut.say(all, piece), wanted) << piece;
            EXPECT_EQ(cut.asked, whole.asked) << piece;
            EXPECT_TRUE(cut.closed);
        }
    }
}

} // namespace admin
