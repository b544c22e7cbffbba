#include "net/dnsbl.hpp"

#include "net/dns_client.hpp"
#include "net/network_test.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace net {
namespace {

using testing::ElementsAre;
using verdict = dnsbl_decision::verdict;
using lines = std::vector<std::string>;

TEST(dnsbl_name, of_both_families) {
    EXPECT_EQ(dnsbl_name("198.51.100.1", "bl.example"), "1.100.51.198.bl.example");
    EXPECT_EQ(dnsbl_name("2001:db8::1", "b"),
              "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.b");
    EXPECT_EQ(dnsbl_name("2001:db8::abcd%3", "b").substr(0, 8), "d.c.b.a.");
    EXPECT_EQ(dnsbl_name("/run/socket", "b"), "");
}

// What the log says once it is decided.
lines log_of(const dnsbl_decision& decision) {
    lines_kept kept;
    decision.log(base::logger(kept), "198.51.100.1");
    return kept.lines;
}

TEST(dnsbl_decision, one_list_allows) {
    dnsbl_decision d({"a"}, 1, false);
    EXPECT_EQ(d.result(), verdict::undecided);
    d.allowed(0);
    EXPECT_EQ(d.result(), verdict::allow);
    EXPECT_THAT(log_of(d), ElementsAre("dnsbl: address [198.51.100.1] allowed by [a]"));
}

TEST(dnsbl_decision, one_list_denies) {
    dnsbl_decision d({"a"}, 1, false);
    d.denied(0, {"127.0.0.2", "127.0.0.4"});
    EXPECT_EQ(d.result(), verdict::block);
    EXPECT_THAT(log_of(d), ElementsAre("dnsbl: address [198.51.100.1] denied by [a]: 127.0.0.2 127.0.0.4",
                                       "dnsbl: client address [198.51.100.1] blocked by [a]"));
}

TEST(dnsbl_decision, nobody_waits_for_a_silent_list_once_it_is_certain) {
    dnsbl_decision d({"a", "b"}, 1, false);
    d.denied(1, {"127.0.0.2"});
    EXPECT_EQ(d.result(), verdict::block);
    EXPECT_THAT(log_of(d), ElementsAre("dnsbl: address [198.51.100.1] not checked by [a]",
                                       "dnsbl: address [198.51.100.1] denied by [b]: 127.0.0.2",
                                       "dnsbl: client address [198.51.100.1] blocked by [b]"));
}

TEST(dnsbl_decision, threshold_of_two) {
    dnsbl_decision d({"a", "b", "c"}, 2, true);
    d.denied(0, {"127.0.0.2"});
    EXPECT_EQ(d.result(), verdict::undecided);
    d.allowed(1);
    EXPECT_EQ(d.result(), verdict::undecided);
    dnsbl_decision blocked = d;
    blocked.denied(2, {"127.0.0.3"});
    EXPECT_EQ(blocked.result(), verdict::block);
    EXPECT_THAT(log_of(blocked),
                testing::Contains("dnsbl: client address [198.51.100.1] blocked by [a] [c]"));
    d.allowed(2);
    EXPECT_EQ(d.result(), verdict::allow);
    EXPECT_EQ(log_of(d).size(), 3U) << "no warning";
}

TEST(dnsbl_decision, allowed_as_soon_as_too_few_are_left) {
    dnsbl_decision d({"a", "b"}, 2, true);
    d.allowed(1);
    EXPECT_EQ(d.result(), verdict::allow);
    EXPECT_THAT(log_of(d), ElementsAre("dnsbl: address [198.51.100.1] not checked by [a]",
                                       "dnsbl: address [198.51.100.1] allowed by [b]"));
    EXPECT_EQ(dnsbl_decision({"a"}, 2, true).result(), verdict::allow) << "no need to ask";
}

TEST(dnsbl_decision, threshold_of_zero_never_blocks) {
    dnsbl_decision d({"a", "b"}, 0, true);
    d.denied(0, {"127.0.0.2"});
    EXPECT_EQ(d.result(), verdict::undecided);
    dnsbl_decision late = d;
    d.denied(1, {"127.0.0.2"});
    EXPECT_EQ(d.result(), verdict::allow);
    EXPECT_EQ(log_of(d).size(), 2U) << "no warning";
    late.timed_out();
    EXPECT_EQ(late.result(), verdict::allow) << "in spite of the negative time-out";
    EXPECT_THAT(log_of(late),
                testing::Contains("dnsbl: client address [198.51.100.1]: timeout: no answer from [b]"));
}

TEST(dnsbl_decision, timeout_allows_or_denies) {
    for (bool deny : {false, true}) {
        dnsbl_decision d({"a", "b", "c"}, 2, deny);
        d.denied(1, {"127.0.0.2"});
        d.timed_out();
        EXPECT_EQ(d.result(), deny ? verdict::block : verdict::allow);
        EXPECT_EQ(log_of(d).back(),
                  deny ? "dnsbl: client address [198.51.100.1] blocked: timeout: no answer "
                         "from [a] [c]"
                       : "dnsbl: client address [198.51.100.1]: timeout: no answer from [a] [c]");
    }
}

TEST(dnsbl_decision, lists_that_will_not_answer_are_not_waited_for) {
    dnsbl_decision d({"a", "b"}, 1, true);
    d.no_answer(0);
    EXPECT_EQ(d.result(), verdict::undecided);
    dnsbl_decision other = d;
    d.allowed(1);
    EXPECT_EQ(d.result(), verdict::block);
    EXPECT_EQ(log_of(d).back(), "dnsbl: client address [198.51.100.1] blocked: timeout: no answer from [a]");
    other.denied(1, {"127.0.0.2"});
    EXPECT_EQ(log_of(other).back(), "dnsbl: client address [198.51.100.1] blocked by [b]");
}

TEST(dnsbl_decision, names_of_lists_are_made_printable) {
    dnsbl_decision d({"a\x1b["}, 1, false);
    d.allowed(0);
    EXPECT_THAT(log_of(d), ElementsAre("dnsbl: address [198.51.100.1] allowed by [a\\x1b[]"));
}

TEST(dnsbl, off_for_a_time) {
    lines_kept kept;
    dnsbl lists({}, base::logger(kept));
    EXPECT_TRUE(lists.enabled());
    lists.stop(std::chrono::seconds(4294967295));
    EXPECT_FALSE(lists.enabled());
    lists.start();
    EXPECT_TRUE(lists.enabled());
    lists.stop(std::chrono::seconds(0));
    EXPECT_TRUE(lists.enabled());
    EXPECT_THAT(kept.lines,
                ElementsAre("dnsbl disabled for 4294967295s", "dnsbl enabled", "dnsbl disabled for 0s"));
}

TEST(dns_server, forms) {
    auto shown = [](std::string_view text, std::uint16_t port = 0) {
        auto found = read_dns_server(text, port);
        return found.has_value() ? found->display() : found.error().message();
    };
    EXPECT_EQ(shown("1.1.1.1:53"), "1.1.1.1:53");
    EXPECT_EQ(shown("::1.53"), "::1.53");
    EXPECT_EQ(shown("::1:53"), "::1.53");
    EXPECT_EQ(shown("[::1]:5353"), "::1.5353");
    EXPECT_EQ(shown("::1", 53), "::1.53");
    EXPECT_EQ(shown("1.1.1.1", 53), "1.1.1.1:53");
    EXPECT_EQ(shown("1.1.1.1:54", 53), "1.1.1.1:54");
    for (const char* bad : {"", "1.1.1.1", "a:53", "1.1.1.1:65536", "1.1.1.1:x"})
        EXPECT_EQ(shown(bad), std::string("address error: invalid network address: ") + bad);
}

} // namespace
} // namespace net
