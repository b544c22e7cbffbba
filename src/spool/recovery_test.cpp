// What recovery makes of journals found beside files in many conditions, after a power cut.
#include "spool/journal_format.hpp"
#include "spool/segment.hpp"
#include "spool/spool_test.hpp"
#include "spool/test_filesystem.hpp"

#include "os/machine.hpp"

namespace spool {

using namespace test;

namespace {

using names = std::set<std::string>;
using kind = record_kind;

const std::string id = "emailrelay.77.1700000000.1";
const std::string content(5000, 'c');
const std::string envelope = mail::format_envelope(envelope_to("x@y"));

// A segment as another run of the machine left it.
std::string segment_of(const std::vector<record>& records, std::uint64_t owner = 1) {
    segment_header header{owner, 42, 77, 1, 2, "another boot"};
    std::string bytes = format_header(header);
    std::uint64_t sequence = 0;
    for (record r : records) {
        r.sequence = ++sequence;
        if (r.time == 0)
            r.time = static_cast<std::int64_t>(sequence);
        append_record(bytes, r, header.key);
        pad_to_block(bytes);
    }
    bytes.resize(64 << 10);
    return bytes;
}

record put_of(const std::string& text = content, const std::string& head = envelope) {
    static std::vector<std::unique_ptr<std::string>> kept;
    kept.push_back(std::make_unique<std::string>(text));
    std::string_view c = *kept.back();
    kept.push_back(std::make_unique<std::string>(head));
    return {kind::put, 0, 0, 0, id, *kept.back(), c};
}

record about(kind k, std::uint64_t through = 0) {
    return {k, 0, 0, through, k == kind::settled ? std::string_view() : std::string_view(id), {}, {}};
}

class recovery_test : public ::testing::Test {
protected:
    void journal(const std::vector<record>& records, std::uint64_t owner = 1) {
        dir.write(segment_name({owner, 77, ""}, 1), segment_of(records, owner));
    }
    void file(const std::string& suffix, const std::string& text) { dir.write(id + suffix, text); }
    void recover() {
        opened_store s(dir.path());
        ready = *ready_ids(*s);
        log = s.log.lines();
        s->close();
        EXPECT_EQ(dir.hidden_names(), names{});
    }
    void clear() {
        for (const auto& entry : std::filesystem::directory_iterator(dir.path()))
            std::filesystem::remove_all(entry.path());
    }
    void expect_restored(const std::string& state = ".envelope") {
        EXPECT_EQ(dir.names(), (names{id + state, id + ".content"}));
        EXPECT_EQ(dir.read(id + state), envelope);
        EXPECT_TRUE(dir.read(id + ".content") == content);
    }

    temporary_directory dir;
    std::vector<std::string> ready;
    std::vector<std::string> log;
};

} // namespace

TEST_F(recovery_test, restores_what_is_missing) {
    journal({put_of()});
    recover();
    expect_restored();
    EXPECT_EQ(ready, std::vector<std::string>{id});
}

TEST_F(recovery_test, restores_content_in_every_state) {
    for (const char* state : {".envelope", ".envelope.bad"})
        for (const std::string& damaged :
             {std::string(), content.substr(0, 100), std::string(content.size(), '\0'),
              content.substr(0, 1024) + std::string(2000, '\0')}) {
            journal({put_of()});
            file(state, envelope);
            file(".content", damaged);
            recover();
            expect_restored(state);
            std::filesystem::remove(dir / (id + state));
        }
}

TEST_F(recovery_test, restores_envelopes) {
    for (const std::string& damaged :
         {std::string(), envelope.substr(0, 50), std::string(envelope.size(), '\0')}) {
        journal({put_of()});
        file(".envelope", damaged);
        file(".content", content);
        recover();
        expect_restored();
    }
}

TEST_F(recovery_test, leaves_what_was_edited) {
    std::string edited = mail::format_envelope(envelope_to("other@y"));
    journal({put_of()});
    file(".envelope", edited);
    file(".content", content);
    recover();
    EXPECT_EQ(dir.read(id + ".envelope"), edited);
    std::string failed = envelope + "X-MailRelay-Reason: no\r\nX-MailRelay-ReasonCode: 550\r\n";
    std::filesystem::remove(dir / (id + ".envelope"));
    journal({put_of()});
    file(".envelope.bad", failed);
    file(".content", "");
    recover();
    EXPECT_EQ(dir.read(id + ".envelope.bad"), failed);
    EXPECT_TRUE(dir.read(id + ".content") == content);
}

TEST_F(recovery_test, does_not_bring_back_what_is_done_or_settled_or_withdrawn) {
    for (const std::vector<record>& records :
         {std::vector{put_of(), about(kind::done)}, std::vector{put_of(), about(kind::settled, 1)},
          std::vector{put_of(), about(kind::withdrawn)},
          std::vector{put_of(), about(kind::claim), about(kind::done)}}) {
        journal(records);
        recover();
        EXPECT_EQ(dir.names(), names{});
    }
}

TEST_F(recovery_test, done_by_another_owner_counts) {
    record done = about(kind::done);
    done.time = 100;
    journal({put_of()}, 1);
    journal({about(kind::claim), done}, 2);
    recover();
    EXPECT_EQ(dir.names(), names{});
}

TEST_F(recovery_test, completes_a_removal) {
    for (const char* state : {".envelope", ".envelope.busy", ".envelope.bad", ".envelope.held"}) {
        journal({about(kind::claim), about(kind::done)});
        file(state, envelope);
        file(".content", content);
        recover();
        EXPECT_EQ(dir.names(), names{});
    }
    journal({about(kind::claim), about(kind::done),
             about(kind::settled, 2)}); // and then somebody put it there again
    file(".envelope", envelope);
    file(".content", content);
    recover();
    EXPECT_EQ(ready.size(), 1u);
    clear();
    journal(
        {about(kind::claim), about(kind::done), about(kind::claim), about(kind::released)}); // and it failed
    file(".envelope.bad", envelope);
    file(".content", content);
    recover();
    EXPECT_EQ(dir.names(), (names{id + ".envelope.bad", id + ".content"}));
}

TEST_F(recovery_test, releases_claims) {
    for (const std::vector<record>& records :
         {std::vector{about(kind::claim)}, std::vector{about(kind::claim), about(kind::released)},
          std::vector{about(kind::claim), about(kind::settled, 1)}}) {
        clear();
        journal(records);
        file(".envelope.busy", envelope);
        file(".envelope.busy.tmp", "half");
        file(".content", content);
        recover();
        EXPECT_EQ(dir.names(), (names{id + ".envelope", id + ".content"}));
        EXPECT_EQ(log.size() > 0 && log[0] == "warning: unlocking [" + id +
                                                  ".envelope.busy]: left by a process that has ended",
                  true);
    }
}

TEST_F(recovery_test, leaves_claims_of_others) {
    file(".envelope.busy", envelope);
    file(".content", content);
    names before = dir.names();
    journal({about(kind::claim), about(kind::released), about(kind::settled, 2)});
    recover();
    EXPECT_EQ(dir.names(), before);

    auto files = os::make_filesystem();
    auto directory = files->open_directory(dir.path());
    auto held = files->open(*directory, id + ".envelope.busy", os::open_mode::read_write);
    ASSERT_TRUE(*files->try_lock(*held, true));
    journal({about(kind::claim)}); // of a dead one; but a living one has it now
    recover();
    EXPECT_EQ(dir.names(), before);
}

TEST_F(recovery_test, never_releases_over_another_envelope) {
    journal({about(kind::claim)});
    file(".envelope.busy", envelope);
    file(".envelope", "another");
    file(".content", content);
    recover();
    EXPECT_EQ(dir.read(id + ".envelope"), "another");
    EXPECT_EQ(dir.read(id + ".envelope.busy"), envelope);

    std::filesystem::remove(dir / (id + ".envelope"));
    std::filesystem::create_hard_link(dir / (id + ".envelope.busy"),
                                      dir / (id + ".envelope")); // half a rename
    journal({about(kind::claim)});
    recover();
    EXPECT_EQ(dir.names(), (names{id + ".envelope", id + ".content"}));
}

TEST_F(recovery_test, removes_what_was_never_accepted) {
    journal({about(kind::begin)});
    file(".content", "half of it");
    file(".envelope.new", "");
    recover();
    EXPECT_EQ(dir.names(), names{});

    journal({about(kind::begin)}); // accepted, but `end` did not reach the disk
    file(".content", content);
    file(".envelope", envelope);
    recover();
    EXPECT_EQ(dir.names().size(), 2u);

    std::filesystem::remove(dir / (id + ".envelope"));
    journal({about(kind::begin),
             about(kind::claim)}); // accepted and taken; what became of the envelope is unknown
    recover();
    EXPECT_EQ(dir.names(), names{id + ".content"});
}

TEST_F(recovery_test, removes_what_filters_were_writing) {
    for (bool accepted : {false, true}) {
        journal({about(accepted ? kind::claim : kind::begin)});
        file(".content", content);
        file(accepted ? ".envelope.busy" : ".envelope.new", envelope);
        for (const char* edit : {".content.tmp", ".content.spamd", ".content.milter", ".content.body"})
            file(edit, "half of it");
        file(accepted ? ".envelope.busy.tmp" : ".envelope.new.tmp", "half of it");
        recover();
        EXPECT_EQ(dir.names(), accepted ? (names{id + ".envelope", id + ".content"}) : names{});
    }
}

TEST_F(recovery_test, a_message_of_another_with_the_same_name_stays) {
    std::string other = mail::format_envelope(envelope_to("other@y"));
    journal({put_of()});
    file(".envelope", other);
    file(".content", std::string(6000, 'o'));
    recover();
    EXPECT_EQ(dir.read(id + ".envelope"), other);
    EXPECT_EQ(dir.read(id + ".content"), std::string(6000, 'o'));
    ASSERT_EQ(ready.size(), 2u);
    std::string fresh = ready[0] == id ? ready[1] : ready[0];
    EXPECT_EQ(dir.read(fresh + ".envelope"), envelope);
    EXPECT_TRUE(dir.read(fresh + ".content") == content);
}

TEST_F(recovery_test, two_promises_of_one_name_are_both_kept) {
    std::string other = mail::format_envelope(envelope_to("other@y"));
    journal({put_of()}, 1);
    record second = put_of(std::string(5000, 'o'), other);
    second.time = 50;
    journal({second}, 2);
    recover();
    ASSERT_EQ(ready.size(), 2u);
    EXPECT_EQ(dir.read(id + ".envelope"), envelope);
}

TEST_F(recovery_test, a_directory_in_the_way_is_no_reason_to_lose_a_message) {
    journal({put_of()});
    std::filesystem::create_directory(dir / (id + ".envelope"));
    recover();
    EXPECT_EQ(dir.names().size(), 3u);
    ASSERT_EQ(ready.size(), 2u); // the directory counts as one, and is passed over when claimed
}

TEST_F(recovery_test, reads_on_behind_a_damaged_batch) {
    std::string bytes = segment_of({about(kind::begin), put_of()});
    bytes[journal_block + 10] = 'x';
    dir.write(segment_name({1, 77, ""}, 1), bytes);
    recover();
    expect_restored();
}

TEST_F(recovery_test, of_junk) {
    dir.write(segment_name({1, 77, ""}, 1), std::string(65536, '\0')); // made and never used
    dir.write(segment_name({2, 77, ""}, 1), "");
    dir.write(segment_name({3, 77, ""}, 1), std::string(journal_magic)); // cut off at the first use
    dir.write(".emailrelay-restore.x.content", "half");
    recover();
    EXPECT_EQ(dir.names(), names{});

    std::string strange = segment_name({4, 77, ""}, 1);
    dir.write(strange, "something of a later release");
    opened_store s(dir.path());
    EXPECT_TRUE(s.log.has("journal of an unknown form"));
    EXPECT_TRUE(dir.has(strange));
}

TEST_F(recovery_test, that_fails_keeps_the_journal_and_is_tried_again) {
    journal({put_of()});
    names hidden = dir.hidden_names();
    test_filesystem files;
    files.fail_kind("write", ENOSPC);
    opened_store s(dir.path(), {}, &files);
    EXPECT_EQ(dir.hidden_names(), hidden);
    EXPECT_EQ(dir.names(), names{});
    files.stop_failing();
    EXPECT_EQ(*ready_ids(*s), std::vector<std::string>{id});
    expect_restored();
}

TEST_F(recovery_test, every_operation_may_fail_once) {
    for (int error : {EIO, EMFILE, ENOSPC})
        for (std::size_t n = 0;; ++n) {
            SCOPED_TRACE("operation " + std::to_string(n) + ", error " + std::to_string(error));
            clear();
            journal({put_of(), about(kind::claim)});
            file(".envelope.busy", envelope.substr(0, 40));
            test_filesystem files;
            files.fail_at(n, error);
            os::worker_pool pool("disk", 1);
            captured_log sink;
            settings config;
            config.directory = dir.path();
            auto opened = store::open(config, files, pool, base::logger(sink));
            bool failed = files.has_failed();
            std::string operation = files.failed_operation();
            files.stop_failing();
            if (opened.has_value())
                (*opened)->close();
            for (const std::string& name : dir.hidden_names())
                if (name.ends_with(".tmp")) // the probe whether the directory is writable
                    std::filesystem::remove(dir / name);
            recover();
            // Under its own name; under another if its own could not be looked at.
            if (error != EIO || (operation != "read" && operation != "open" && operation != "stat")) {
                expect_restored();
            } else {
                bool whole = false;
                for (const std::string& found : ready)
                    whole = whole || (dir.read(found + ".envelope") == envelope &&
                                      dir.read(found + ".content") == content);
                EXPECT_TRUE(whole);
            }
            if (!failed)
                break;
            ASSERT_LT(n, 200u);
        }
}

} // namespace spool
