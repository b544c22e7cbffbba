// Single messages held, let go, unfailed and removed: what comes of it, and what is left when any operation
// fails.
#include "spool/spool_test.hpp"
#include "spool/test_filesystem.hpp"

#include <functional>
#include <map>

namespace spool {

using namespace test;

namespace {

using names = std::set<std::string>;

settings quiet() {
    settings s;
    s.checkpoint = std::chrono::hours(1);
    return s;
}

const std::map<message_state, std::string> suffixes{{message_state::ready, ".envelope"},
                                                    {message_state::busy, ".envelope.busy"},
                                                    {message_state::failed, ".envelope.bad"},
                                                    {message_state::held, ".envelope.held"}};

std::string put_in_state(store& s, message_state state) {
    std::string id = store_message(s, "hello");
    if (state == message_state::failed) {
        EXPECT_TRUE(s.fail(std::move(*s.claim(id)), "no", 550).has_value());
    } else if (state == message_state::held) {
        EXPECT_TRUE(s.hold(id).has_value());
    }
    return id;
}

std::set<message_state> states_of(const temporary_directory& dir, const std::string& id) {
    std::set<message_state> found;
    for (const auto& [state, suffix] : suffixes)
        if (dir.has(id + suffix))
            found.insert(state);
    return found;
}

struct row {
    const char* what;
    message_state from;
    std::optional<message_state> to; // nothing: gone
    std::function<base::result<void>(store&, const std::string&)> act;
};

const row rows[] = {
    {"hold", message_state::ready, message_state::held, &store::hold},
    {"release", message_state::held, message_state::ready, &store::let_go},
    {"unfail", message_state::failed, message_state::ready, &store::unfail},
    {"unfail-all", message_state::failed, message_state::ready,
     [](store& s, const std::string&) -> base::result<void> {
         auto done = s.unfail_all();
         if (done.has_error())
             return done.error();
         // A message that could not be renamed is no error, for the others' sake.
         return *done == 1 ? base::result<void>() : base::error{{}, "not done"};
     }},
    {"remove, ready", message_state::ready, std::nullopt, &store::remove},
    {"remove, failed", message_state::failed, std::nullopt, &store::remove},
    {"remove, held", message_state::held, std::nullopt, &store::remove},
};

} // namespace

TEST(administration, one_message_in_every_state) {
    for (const row& r : rows) {
        SCOPED_TRACE(r.what);
        temporary_directory dir;
        opened_store s(dir.path(), quiet());
        std::string other = store_message(*s, "other");
        std::string id = put_in_state(*s, r.from);
        ASSERT_TRUE(r.act(*s, id).has_value());
        auto wanted = r.to ? std::set{*r.to} : std::set<message_state>();
        EXPECT_EQ(states_of(dir, id), wanted);
        EXPECT_EQ(dir.has(id + ".content"), r.to.has_value());
        EXPECT_EQ(states_of(dir, other), std::set{message_state::ready});
        if (r.to) {
            EXPECT_EQ(s->look_at(id)->state, *r.to);
        }
    }
}

TEST(administration, errors_say_in_which_state_a_message_is) {
    temporary_directory dir;
    opened_store s(dir.path(), quiet());
    std::string ready = put_in_state(*s, message_state::ready), held = put_in_state(*s, message_state::held),
                failed = put_in_state(*s, message_state::failed), busy = store_message(*s, "busy");
    auto taken = s->claim(busy);
    auto why = [](const base::result<void>& outcome) {
        return outcome.has_error() ? outcome.error().message() : "OK";
    };
    EXPECT_EQ(why(s->let_go(ready)), "message is ready to be forwarded");
    EXPECT_EQ(why(s->unfail(ready)), "message is ready to be forwarded");
    EXPECT_EQ(why(s->hold(held)), "message is held");
    EXPECT_EQ(why(s->unfail(held)), "message is held");
    EXPECT_EQ(why(s->hold(failed)), "message has failed");
    EXPECT_EQ(why(s->let_go(failed)), "message has failed");
    for (auto act : {&store::hold, &store::let_go, &store::unfail, &store::remove}) {
        EXPECT_EQ(why(((*s).*act)(busy)), "message is being forwarded");
        for (const char* bad : {"", ".", "..", "a/b", "../x", ".hidden", "nothing", "new\nline"})
            EXPECT_EQ(why(((*s).*act)(bad)), "no such message") << bad;
        EXPECT_EQ(why(((*s).*act)(std::string(300, 'x'))), "no such message");
    }
    EXPECT_EQ(dir.names().size(), 8U);
}

// Whichever operation fails: the message stands in one state, the old or the new one, with its content, and
// does so after a restart. Of a removal that fails something without an envelope may be left.
TEST(administration, of_every_operation_that_fails) {
    for (const row& r : rows)
        for (bool for_good : {false, true})
            for (std::size_t n = 0;; ++n) {
                SCOPED_TRACE(std::string(r.what) + ", operation " + std::to_string(n));
                temporary_directory dir;
                test_filesystem files;
                std::string id, other;
                std::set<message_state> left;
                bool failed = false;
                {
                    opened_store s(dir.path(), quiet(), &files);
                    other = store_message(*s, "other");
                    id = put_in_state(*s, r.from);
                    files.fail_at(n, EIO, for_good);
                    auto outcome = r.act(*s, id);
                    failed = files.has_failed();
                    files.stop_failing();
                    left = states_of(dir, id);
                    ASSERT_LE(left.size(), 1U);
                    if (outcome.has_value()) {
                        EXPECT_EQ(left, r.to ? std::set{*r.to} : std::set<message_state>());
                    } else if (r.to) {
                        EXPECT_TRUE(left == std::set{r.from} || left == std::set{*r.to});
                    } else {
                        EXPECT_TRUE(left.empty() || left == std::set{r.from});
                    }
                    if (!failed) {
                        EXPECT_TRUE(outcome.has_value());
                    }
                }
                opened_store again(dir.path());
                EXPECT_EQ(states_of(dir, id), left);
                if (!left.empty()) {
                    EXPECT_EQ(dir.read(id + ".content"), "hello");
                }
                EXPECT_EQ(states_of(dir, other), std::set{message_state::ready});
                EXPECT_EQ(dir.read(other + ".content"), "other");
                auto ready = ready_ids(*again);
                EXPECT_EQ(ready->size(), left.contains(message_state::ready) ? 2U : 1U);
                if (!failed || HasFailure())
                    break;
            }
}

} // namespace spool
