// The store as its users see it, on a real directory (spec/spool.md).
#include "spool/spool_test.hpp"

#include "os/machine.hpp"
#include "spool/names.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace spool {

using namespace test;

namespace {

const std::string head =
    "X-MailRelay-Format: #2821.8\r\nX-MailRelay-Content: unknown\r\nX-MailRelay-From: a@b\r\n";
const std::string middle = "X-MailRelay-Authentication: \r\nX-MailRelay-Client: 127.0.0.1\r\n"
                           "X-MailRelay-ClientCertificate: \r\nX-MailRelay-MailFromAuthIn: \r\n"
                           "X-MailRelay-MailFromAuthOut: \r\nX-MailRelay-ForwardTo: \r\n"
                           "X-MailRelay-ForwardToAddress: \r\nX-MailRelay-ClientAccountSelector: \r\n"
                           "X-MailRelay-Utf8MailboxNames: 0\r\n";
const std::string tail = "X-MailRelay-End: 1\r\n";

std::string envelope_text(const std::vector<std::string>& recipients = {"x@y"}) {
    std::string text = head + "X-MailRelay-ToCount: " + std::to_string(recipients.size()) + "\r\n";
    for (const std::string& r : recipients)
        text += "X-MailRelay-To-Remote: " + r + "\r\n";
    return text + middle + tail;
}

using names = std::set<std::string>;

} // namespace

TEST(store, commits_a_pair_of_files) {
    temporary_directory dir;
    opened_store s(dir.path());
    new_message message = s->create();
    auto name = parse_name(message.id());
    ASSERT_TRUE(name);
    EXPECT_EQ(name->pid, os::process_id());
    EXPECT_EQ(name->sequence, 1u);
    std::string id = message.id();
    message.append(std::string("Subject: x\r\n\r\nhello\r\n"));
    EXPECT_EQ(message.size(), 21u);
    EXPECT_EQ(dir.names(), names{}); // an aborted message costs no file
    ASSERT_TRUE(commit_and_wait(*s, std::move(message), envelope_to("x@y")).has_value());
    EXPECT_EQ(dir.names(), (names{id + ".content", id + ".envelope"}));
    EXPECT_EQ(dir.read(id + ".content"), "Subject: x\r\n\r\nhello\r\n");
    EXPECT_EQ(dir.read(id + ".envelope"), mail::format_envelope(envelope_to("x@y")));
    EXPECT_TRUE(s.log.has("info: new content file [" + id + ".content]"));
    EXPECT_TRUE(s.log.has("info: new envelope file [" + id + ".envelope.new]"));
    struct stat about {};
    ASSERT_EQ(::stat((dir / (id + ".content")).c_str(), &about), 0);
    EXPECT_EQ(about.st_mode & 0007, 0u);
}

TEST(store, numbers_messages_from_one) {
    temporary_directory dir;
    opened_store s(dir.path());
    EXPECT_TRUE(s->create().id().ends_with(".1"));
    EXPECT_TRUE(s->create().id().ends_with(".2"));
}

TEST(store, stores_large_content_as_it_arrives) {
    for (std::size_t size : {100'000u, 1'000'000u}) { // journalled and flushed directly
        temporary_directory dir;
        opened_store s(dir.path());
        new_message message = s->create();
        std::string id = message.id(), all;
        while (message.size() < size) {
            std::string piece(10'000, static_cast<char>('a' + all.size() / 10'000 % 26));
            message.append(piece);
            all += piece;
            if (message.needs_write())
                message.write();
        }
        EXPECT_EQ(dir.names(), names{id + ".content"});
        ASSERT_TRUE(commit_and_wait(*s, std::move(message), envelope_to("x@y")).has_value());
        EXPECT_EQ(dir.names(), (names{id + ".content", id + ".envelope"}));
        EXPECT_TRUE(dir.read(id + ".content") == all);
    }
}

TEST(store, removes_what_is_not_committed) {
    temporary_directory dir;
    opened_store s(dir.path());
    {
        new_message message = s->create();
        message.append(std::string(100'000, 'x'));
        message.write();
        EXPECT_EQ(dir.names().size(), 1u);
    }
    EXPECT_EQ(dir.names(), names{});
    {
        opened_store other(dir.path());
        new_message message = other->create();
        message.append(std::string(100'000, 'x'));
        message.write();
        other->discard(std::move(message));
    }
    EXPECT_EQ(dir.names(), names{});
}

TEST(store, takes_the_next_name_when_one_is_taken) {
    temporary_directory dir;
    opened_store s(dir.path());
    for (const char* suffix : {".content", ".envelope.new", ".envelope"}) {
        new_message message = s->create();
        std::string taken = message.id() + suffix;
        dir.write(taken, "foreign");
        message.append(std::string("mine"));
        auto stored = commit_and_wait(*s, std::move(message), envelope_to("x@y"));
        ASSERT_TRUE(stored.has_value());
        EXPECT_EQ(dir.read(taken), "foreign") << suffix;
        std::filesystem::remove(dir / taken);
        auto ids = ready_ids(*s);
        ASSERT_EQ(*ids, std::vector<std::string>{*stored}) << suffix;
        EXPECT_EQ(dir.read(ids->front() + ".content"), "mine");
        EXPECT_EQ(dir.names().size(), 2u) << suffix;
        ASSERT_TRUE(s->finish(std::move(*s->claim(ids->front()))).has_value());
    }
}

TEST(store, takes_the_next_name_when_the_file_of_large_content_is_there_already) {
    for (const char* suffix : {".envelope.new", ".envelope"})
        for (std::size_t size : {100'000u, 400'000u}) {
            temporary_directory dir;
            opened_store s(dir.path());
            const std::string content(size, 'x');
            new_message message = s->create();
            message.append(content);
            ASSERT_TRUE(message.needs_write());
            message.write();
            const std::string taken = message.id();
            dir.write(taken + suffix, "another's");
            auto id = commit_and_wait(*s, std::move(message), envelope_to("x@y"));
            ASSERT_TRUE(id.has_value()) << id.error().message();
            EXPECT_NE(*id, taken);
            EXPECT_EQ(dir.read(taken + suffix), "another's");
            EXPECT_TRUE(dir.read(*id + ".content") == content);
            EXPECT_TRUE(dir.has(*id + ".envelope"));
            EXPECT_EQ(dir.names().size(), 3u);
        }
}

TEST(store, lists_oldest_first) {
    temporary_directory dir;
    for (const char* id : {"foo", "emailrelay.5.100.2", "emailrelay.5.100.10", "emailrelay.9.99.7", "bar.x"})
        dir.write(std::string(id) + ".envelope", "");
    for (const char* other : {"x.envelope.bad", "y.envelope.busy", "z.envelope.new", "q.content", ".envelope",
                              "l.envelope.local"})
        dir.write(other, "");
    opened_store s(dir.path());
    EXPECT_EQ(*ready_ids(*s), (std::vector<std::string>{"emailrelay.9.99.7", "emailrelay.5.100.2",
                                                        "emailrelay.5.100.10", "bar.x", "foo"}));
    dir.write("a.envelope.bad", "");
    EXPECT_EQ(*s->failed(), (std::vector<std::string>{"a", "x"}));
}

TEST(store, forwards_foreign_names) {
    temporary_directory dir;
    dir.write("foo.envelope", envelope_text());
    dir.write("foo.content", "hello");
    opened_store s(dir.path());
    auto message = s->claim("foo");
    ASSERT_TRUE(message.has_value());
    EXPECT_EQ(message->id(), "foo");
    EXPECT_EQ(message->envelope().to_remote, std::vector<std::string>{"x@y"});
    EXPECT_EQ(message->content_size(), 5u);
    EXPECT_EQ(dir.names(), (names{"foo.envelope.busy", "foo.content"}));
    EXPECT_EQ(read_content(*message), "hello");
    char one;
    EXPECT_EQ(*message->read({&one, 1}), 0u);
    ASSERT_TRUE(s->finish(std::move(*message)).has_value());
    EXPECT_EQ(dir.names(), names{});
    EXPECT_TRUE(s.log.has("info: deleting envelope [foo.envelope.busy]"));
    EXPECT_TRUE(s.log.has("info: deleting content [foo.content]"));
}

TEST(store, gives_back) {
    temporary_directory dir;
    dir.write("foo.envelope", envelope_text());
    dir.write("foo.content", "hello");
    opened_store s(dir.path());
    ASSERT_TRUE(s->release(std::move(*s->claim("foo"))).has_value());
    EXPECT_EQ(dir.names(), (names{"foo.envelope", "foo.content"}));
    { auto forgotten = s->claim("foo"); }
    EXPECT_EQ(dir.names(), (names{"foo.envelope", "foo.content"}));
    EXPECT_EQ(dir.read("foo.envelope"), envelope_text());
}

TEST(store, fails_with_a_reason) {
    temporary_directory dir;
    dir.write("foo.envelope", envelope_text());
    dir.write("foo.content", "hello");
    opened_store s(dir.path());
    ASSERT_TRUE(s->fail(std::move(*s->claim("foo")), "go away\nnow", 530).has_value());
    EXPECT_EQ(dir.names(), (names{"foo.envelope.bad", "foo.content"}));
    EXPECT_EQ(dir.read("foo.envelope.bad"),
              envelope_text() + "X-MailRelay-Reason: go away\\nnow\r\nX-MailRelay-ReasonCode: 530\r\n");
    EXPECT_TRUE(s.log.has("info: failing envelope [foo.envelope.busy] -> [foo.envelope.bad]"));

    std::filesystem::rename(dir / "foo.envelope.bad",
                            dir / "foo.envelope"); // unfail-all; failing again appends
    ASSERT_TRUE(s->fail(std::move(*s->claim("foo")), "no remote recipients", std::nullopt).has_value());
    EXPECT_EQ(dir.read("foo.envelope.bad"),
              envelope_text() + "X-MailRelay-Reason: go away\\nnow\r\nX-MailRelay-ReasonCode: 530\r\n" +
                  "X-MailRelay-Reason: no remote recipients\r\nX-MailRelay-ReasonCode:\r\n");
}

TEST(store, appends_the_reason_in_the_style_of_the_file) {
    temporary_directory dir;
    std::string text = envelope_text();
    std::erase(text, '\r');
    text.pop_back(); // and no end of the last line
    dir.write("foo.envelope", text);
    dir.write("foo.content", "hello");
    opened_store s(dir.path());
    ASSERT_TRUE(s->fail(std::move(*s->claim("foo")), "no", 550).has_value());
    EXPECT_EQ(dir.read("foo.envelope.bad"), text + "\nX-MailRelay-Reason: no\nX-MailRelay-ReasonCode: 550\n");
}

TEST(store, keeps_what_others_wrote_into_the_envelope_meanwhile) {
    temporary_directory dir;
    dir.write("foo.envelope", envelope_text());
    dir.write("foo.content", "hello");
    opened_store s(dir.path());
    auto message = s->claim("foo");
    std::string edited = envelope_text({"new@y", "x@y"}) + "Note: by hand  \r\n";
    dir.write("other", edited);
    std::filesystem::rename(dir / "other", dir / "foo.envelope.busy");
    ASSERT_TRUE(s->fail(std::move(*message), "no", 550).has_value());
    EXPECT_EQ(dir.read("foo.envelope.bad"),
              edited + "X-MailRelay-Reason: no\r\nX-MailRelay-ReasonCode: 550\r\n");

    std::filesystem::rename(dir / "foo.envelope.bad", dir / "foo.envelope");
    message = s->claim("foo");
    dir.write("foo.envelope.busy", edited);
    ASSERT_TRUE(s->fail_partly(std::move(*message), {"new@y"}, "some", std::nullopt).has_value());
    EXPECT_EQ(dir.read("foo.envelope.bad"), envelope_text({"new@y"}) + "Note: by hand\r\n" +
                                                "X-MailRelay-Reason: some\r\nX-MailRelay-ReasonCode:\r\n");
}

TEST(store, reduces_the_recipients) {
    temporary_directory dir;
    std::string text = envelope_text({"a@y", "b@y", "c@y"});
    dir.write("foo.envelope", text + "Extra: 1\r\n");
    dir.write("foo.envelope.busy.tmp", "left by a crash");
    dir.write("foo.content", "hello");
    opened_store s(dir.path());
    ASSERT_TRUE(
        s->fail_partly(std::move(*s->claim("foo")), {"b@y"}, "one or more recipients rejected", std::nullopt)
            .has_value());
    EXPECT_EQ(dir.names(), (names{"foo.envelope.bad", "foo.content"}));
    EXPECT_EQ(dir.read("foo.envelope.bad"),
              envelope_text({"b@y"}) + "Extra: 1\r\n" +
                  "X-MailRelay-Reason: one or more recipients rejected\r\nX-MailRelay-ReasonCode:\r\n");
}

TEST(store, passes_over_what_it_cannot_read) {
    struct row {
        const char* name;
        std::string text;
        const char* reason;
    };
    const row rows[] = {
        {"nine", "X-MailRelay-Format: #2821.9\r\n", "cannot read envelope file: unknown format id: #2821.9"},
        {"empty", "", "cannot read envelope file: "},
        {"junk", "junk\r\n", "cannot read envelope file: "},
        {"cut", head, "cannot read envelope file: "},
    };
    temporary_directory dir;
    opened_store s(dir.path());
    for (const row& r : rows) {
        std::string name = std::string(r.name) + ".envelope";
        dir.write(name, r.text);
        dir.write(std::string(r.name) + ".content", "hello");
        EXPECT_TRUE(s->claim(r.name).has_error());
        EXPECT_TRUE(dir.has(name));
        EXPECT_EQ(dir.read(name), r.text);
        EXPECT_TRUE(s.log.has("warning: ignoring \"" + dir / name + "\": " + r.reason)) << r.name;
    }
}

TEST(store, never_sends_a_message_without_content) {
    temporary_directory dir;
    dir.write("foo.envelope", envelope_text());
    opened_store s(dir.path());
    EXPECT_TRUE(s->claim("foo").has_error());
    EXPECT_TRUE(s.log.has("warning: ignoring \"" + dir / "foo.envelope" + "\": cannot open content file"));
    std::filesystem::create_directory(dir / "foo.content");
    EXPECT_TRUE(s->claim("foo").has_error());
    EXPECT_EQ(dir.names(), (names{"foo.envelope", "foo.content"}));
}

TEST(store, passes_over_directories_and_links) {
    temporary_directory dir;
    std::filesystem::create_directory(dir / "d.envelope");
    dir.write("target", envelope_text());
    std::filesystem::create_symlink(dir / "target", dir / "l.envelope");
    ASSERT_EQ(::mkfifo((dir / "f.envelope").c_str(), 0600), 0);
    opened_store s(dir.path());
    for (const char* id : {"d", "l", "f"}) {
        EXPECT_TRUE(s->claim(id).has_error());
        EXPECT_TRUE(s.log.has("warning: ignoring \"" + dir / (std::string(id) + ".envelope") +
                              "\": cannot read envelope file: "))
            << id;
    }
    EXPECT_EQ(dir.names(), (names{"d.envelope", "l.envelope", "f.envelope", "target"}));
}

TEST(store, does_not_take_what_another_has) {
    temporary_directory dir;
    dir.write("foo.envelope", envelope_text());
    dir.write("foo.content", "hello");
    opened_store first(dir.path()), second(dir.path());
    auto message = first->claim("foo");
    ASSERT_TRUE(message.has_value());
    EXPECT_TRUE(second->claim("foo").has_error());
    EXPECT_TRUE(second.log.has("warning: cannot lock file: \"foo.envelope\""));

    dir.write("foo.envelope", "another one"); // beside the .busy
    EXPECT_TRUE(second->claim("foo").has_error());
    EXPECT_EQ(dir.read("foo.envelope"), "another one");
    EXPECT_EQ(dir.read("foo.envelope.busy"), envelope_text());
    std::filesystem::remove(dir / "foo.envelope");
    ASSERT_TRUE(first->finish(std::move(*message)).has_value());
}

TEST(store, respects_locks_of_others) {
    temporary_directory dir;
    dir.write("foo.envelope", envelope_text());
    dir.write("foo.content", "hello");
    auto files = os::make_filesystem();
    auto directory = files->open_directory(dir.path());
    auto held = files->open(*directory, "foo.envelope", os::open_mode::read_write);
    ASSERT_TRUE(*files->try_lock(*held, true));
    opened_store s(dir.path());
    EXPECT_TRUE(s->claim("foo").has_error());
    EXPECT_TRUE(s.log.has("cannot lock file: \"foo.envelope\""));
    held->reset();
    EXPECT_TRUE(s->claim("foo").has_value());
}

TEST(store, says_what_is_wrong_with_the_directory) {
    temporary_directory dir;
    auto files = os::make_filesystem();
    os::worker_pool pool("disk", 1);
    captured_log log;
    dir.write("file", "");
    for (auto [name, reason] :
         {std::pair("missing", "no such file or directory"), std::pair("file", "not a directory")}) {
        settings s;
        s.directory = dir / name;
        auto opened = store::open(s, *files, pool, base::logger(log));
        ASSERT_TRUE(opened.has_error());
        EXPECT_EQ(opened.error().message(), "invalid spool directory: " + dir / name + ": " + reason);
    }
}

TEST(store, claims_what_was_announced) {
    temporary_directory dir;
    std::vector<std::string> ids;
    for (int i = 0; i < 10; ++i) {
        ids.push_back("m" + std::to_string(i));
        dir.write(ids.back() + ".envelope", envelope_text());
        dir.write(ids.back() + ".content", "hello");
    }
    opened_store s(dir.path());
    s->announce(ids);
    for (const std::string& id : ids)
        ASSERT_TRUE(s->finish(std::move(*s->claim(id))).has_value());
    EXPECT_EQ(dir.names(), names{});
}

TEST(store, works_without_flushes) {
    temporary_directory dir;
    settings config;
    config.sync = false;
    opened_store s(dir.path(), config);
    std::string id = store_message(*s, "hello");
    std::string large = store_message(*s, std::string(500'000, 'x'));
    ASSERT_TRUE(s->finish(std::move(*s->claim(id))).has_value());
    ASSERT_TRUE(s->fail(std::move(*s->claim(large)), "no", 550).has_value());
    EXPECT_EQ(dir.names(), (names{large + ".content", large + ".envelope.bad"}));
}

} // namespace spool
