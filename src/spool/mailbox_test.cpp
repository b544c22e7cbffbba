// What POP users see and delete, alone, with others, and when operations fail.
#include "spool/mailbox.hpp"

#include "spool/spool_test.hpp"
#include "spool/test_filesystem.hpp"

namespace spool {

using namespace test;

namespace {

using names = std::set<std::string>;

settings quiet() {
    settings s;
    s.checkpoint = std::chrono::hours(1);
    return s;
}

std::string listed(mailbox& m) {
    std::string all;
    auto outcome = m.list([&](std::string_view id, std::uint64_t octets) {
        all.append(id).append("=").append(std::to_string(octets)).append(" ");
    });
    EXPECT_TRUE(outcome.has_value());
    return all;
}

std::string text_of(mailbox& m, const std::string& id) {
    auto opened = m.open(id);
    if (opened.has_error())
        return "(" + opened.error().code.message() + ")";
    std::string text(100, '\0');
    auto n = opened->read(text);
    text.resize(n.has_value() ? *n : 0);
    return text;
}

// A user's directory with messages of its own.
void make_user(const temporary_directory& dir, const std::string& user, const names& ids) {
    std::filesystem::create_directory(dir / user);
    for (const std::string& id : ids)
        dir.write(user + "/" + id + ".envelope", "anything");
}

} // namespace

TEST(mailbox, lists_what_is_ready_and_has_content) {
    temporary_directory dir;
    for (const char* id : {"b", "a", "emailrelay.1.1.10", "emailrelay.1.1.2"}) {
        dir.write(id + std::string(".envelope"), "anything");
        dir.write(id + std::string(".content"), id);
    }
    dir.write("empty.envelope", "anything");
    dir.write("empty.content", "");
    dir.write("missing.envelope", "anything");
    std::filesystem::create_directory(dir / "folder.content");
    dir.write("folder.envelope", "anything");
    for (const char* state : {".new", ".busy", ".bad", ".held"})
        dir.write(std::string("other.envelope") + state, "anything");
    dir.write("other.content", "x");
    opened_store s(dir.path(), quiet());
    mailbox m(*s);
    EXPECT_EQ(listed(m), "a=1 b=1 emailrelay.1.1.10=17 emailrelay.1.1.2=16 ");
    EXPECT_EQ(text_of(m, "emailrelay.1.1.2"), "emailrelay.1.1.2");
    EXPECT_EQ(text_of(m, "gone"), "(No such file or directory)");
}

TEST(mailbox, deletes_envelope_and_content) {
    temporary_directory dir;
    opened_store s(dir.path(), quiet());
    std::vector<std::string> ids;
    for (int i = 0; i < 100; ++i) // more than the journal is told of at once
        ids.push_back(store_message(*s, "hello"));
    std::string other = store_message(*s, "other");
    mailbox m(*s);
    EXPECT_TRUE(m.remove(ids));
    EXPECT_EQ(dir.names(), (names{other + ".envelope", other + ".content"}));
    EXPECT_FALSE(m.remove({ids[0], other})) << "somebody else was faster with the first";
    EXPECT_TRUE(
        s.log.has("error: failed to delete " + dir / (ids[0] + ".envelope") + ": no such file or directory"));
    EXPECT_EQ(dir.names(), names{}) << "the others are tried all the same";
}

TEST(mailbox, of_a_user_who_shares_content) {
    temporary_directory dir;
    opened_store s(dir.path(), quiet());
    make_user(dir, "bob", {"shared", "own", "both"});
    make_user(dir, "alice", {"shared"});
    dir.write("shared.content", "shared");
    dir.write("bob/own.content", "own");
    dir.write("both.content", "of the spool");
    dir.write("both.envelope", "anything");
    dir.write("bob/both.content", "of bob");
    auto bob = mailbox::of_user(*s, "bob"), alice = mailbox::of_user(*s, "alice");
    ASSERT_TRUE(bob.has_value() && alice.has_value());
    EXPECT_FALSE(bob->created());
    EXPECT_EQ(listed(*bob), "both=6 own=3 shared=6 ");
    EXPECT_EQ(text_of(*bob, "both"), "of bob") << "one's own first";
    EXPECT_TRUE(bob->remove({"both", "own", "shared"}));
    EXPECT_EQ(dir.read("both.content"), "of the spool");
    EXPECT_EQ(text_of(*alice, "shared"), "shared");
    EXPECT_TRUE(alice->remove({"shared"}));
    EXPECT_FALSE(dir.has("shared.content")) << "with the last envelope";
    for (const char* needed : {"m.envelope", "m.envelope.busy", "m.envelope.bad", "m.envelope.held",
                               "m.envelope.parked", "alice/m.envelope.parked"}) {
        make_user(dir, "bob", {"m"});
        dir.write("m.content", "m");
        dir.write(needed, "anything");
        EXPECT_TRUE(bob->remove({"m"}));
        EXPECT_TRUE(dir.has("m.content")) << needed;
        std::filesystem::remove(dir / needed);
    }
}

// A mailbox may be a link to a directory elsewhere; what else is in the spool is none.
TEST(mailbox, of_a_user_whose_directory_is_elsewhere) {
    temporary_directory dir, elsewhere;
    opened_store s(dir.path(), quiet());
    make_user(dir, "bob", {"shared"});
    make_user(elsewhere, "mail", {"shared"});
    std::filesystem::create_directory_symlink(elsewhere / "mail", dir / "alice");
    std::filesystem::create_symlink("/no/where", dir / "dangling");
    std::filesystem::create_symlink("/dev/null", dir / "device");
    dir.write("file", "x");
    dir.write("shared.content", "shared");
    auto bob = mailbox::of_user(*s, "bob"), alice = mailbox::of_user(*s, "alice");
    ASSERT_TRUE(bob.has_value() && alice.has_value());
    EXPECT_EQ(listed(*alice), "shared=6 ");
    EXPECT_TRUE(bob->remove({"shared"}));
    EXPECT_EQ(text_of(*alice, "shared"), "shared");
    EXPECT_EQ(inaccessible_mailboxes(*s), std::vector<std::string>{});
    EXPECT_TRUE(alice->remove({"shared"}));
    EXPECT_FALSE(dir.has("shared.content"));
}

TEST(mailbox, names_that_lead_out_of_the_spool_are_refused) {
    temporary_directory dir;
    opened_store s(dir.path(), quiet());
    for (const char* bad : {"", ".", "..", "../x", "a/b", "/etc", ".hidden"})
        EXPECT_TRUE(mailbox::of_user(*s, bad).has_error()) << bad;
    EXPECT_TRUE(mailbox::of_user(*s, std::string("a\0b", 3)).has_error());
    auto made = mailbox::of_user(*s, "bob");
    ASSERT_TRUE(made.has_value());
    EXPECT_TRUE(made->created());
    EXPECT_EQ(dir.names(), names{"bob"});
}

// Nothing is lost by a deletion that fails: what has an envelope has its content, whatever other message has
// been deleted, and what was not deleted is told.
TEST(mailbox, of_every_operation_that_fails) {
    for (bool for_good : {false, true})
        for (std::size_t n = 0;; ++n) {
            SCOPED_TRACE("operation " + std::to_string(n));
            temporary_directory dir;
            test_filesystem files;
            std::string a, b, kept;
            bool failed = false;
            {
                opened_store s(dir.path(), quiet(), &files);
                a = store_message(*s, "first"), b = store_message(*s, "second");
                kept = store_message(*s, "kept");
                mailbox m(*s);
                files.fail_at(n, EIO, for_good);
                bool all = m.remove({a, b});
                failed = files.has_failed();
                files.stop_failing();
                bool envelopes = dir.has(a + ".envelope") || dir.has(b + ".envelope");
                bool any = envelopes || dir.has(a + ".content") || dir.has(b + ".content");
                if (all) {
                    EXPECT_FALSE(any);
                } else {
                    EXPECT_TRUE(any) << "said not to be deleted";
                }
                EXPECT_TRUE(failed || all);
            }
            opened_store again(dir.path());
            for (const auto& [id, text] : {std::pair(a, "first"), std::pair(b, "second")})
                if (dir.has(id + ".envelope")) {
                    EXPECT_EQ(dir.read(id + ".content"), text);
                }
            EXPECT_EQ(dir.read(kept + ".content"), "kept");
            EXPECT_TRUE(dir.has(kept + ".envelope"));
            if (!failed || HasFailure())
                break;
        }
}

TEST(mailbox, of_every_operation_of_a_user_that_fails) {
    for (bool for_good : {false, true})
        for (std::size_t n = 0;; ++n) {
            SCOPED_TRACE("operation " + std::to_string(n));
            temporary_directory dir;
            test_filesystem files;
            opened_store s(dir.path(), quiet(), &files);
            make_user(dir, "bob", {"shared", "own", "forwarded", "last"});
            make_user(dir, "alice", {"shared"});
            dir.write("bob/own.content", "own");
            for (const char* id : {"shared", "forwarded", "own", "last"})
                dir.write(std::string(id) + ".content", "of the spool");
            dir.write("forwarded.envelope", "anything");
            dir.write("own.envelope", "anything");
            auto bob = mailbox::of_user(*s, "bob");
            ASSERT_TRUE(bob.has_value());
            files.fail_at(n, EIO, for_good);
            bool all = bob->remove({"shared", "own", "forwarded", "last"});
            bool failed = files.has_failed();
            files.stop_failing();
            EXPECT_EQ(dir.read("shared.content"), "of the spool") << "alice has it still";
            EXPECT_EQ(dir.read("forwarded.content"), "of the spool");
            EXPECT_EQ(dir.read("own.content"), "of the spool");
            if (dir.has("bob/own.envelope")) {
                EXPECT_EQ(dir.read("bob/own.content"), "own");
            }
            if (dir.has("bob/last.envelope")) {
                EXPECT_EQ(dir.read("last.content"), "of the spool");
            }
            if (all) {
                EXPECT_EQ(listed(*bob), "");
            }
            if (!failed) {
                EXPECT_TRUE(all);
                EXPECT_FALSE(dir.has("last.content"));
                break;
            }
            if (HasFailure())
                break;
        }
}

// Descriptors that have run out are no reason to take content away from others.
TEST(mailbox, content_stays_when_nobody_can_tell_who_needs_it) {
    for (const char* kind : {"list", "stat", "open_directory"}) {
        temporary_directory dir;
        test_filesystem files;
        opened_store s(dir.path(), quiet(), &files);
        make_user(dir, "bob", {"shared"});
        make_user(dir, "alice", {"shared"});
        dir.write("shared.content", "shared");
        auto bob = mailbox::of_user(*s, "bob");
        ASSERT_TRUE(bob.has_value());
        files.fail_kind(kind, EMFILE);
        (void)bob->remove({"shared"});
        files.stop_failing();
        EXPECT_EQ(dir.read("shared.content"), "shared") << kind;
    }
}

} // namespace spool
