#include "spool/names.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

namespace spool {

TEST(names, writes_and_reads_ids) {
    EXPECT_EQ(format_name({123, 1700000000, 1}), "emailrelay.123.1700000000.1");
    auto name = parse_name("emailrelay.123.1700000000.42");
    ASSERT_TRUE(name);
    EXPECT_EQ(name->pid, 123u);
    EXPECT_EQ(name->time, 1700000000u);
    EXPECT_EQ(name->sequence, 42u);
}

TEST(names, refuses_what_is_not_our_form) {
    for (const char* id :
         {"", "foo", "emailrelay", "emailrelay.", "emailrelay.1.2", "emailrelay.1.2.", "emailrelay.1..3",
          "emailrelay.1.2.3.4", "emailrelay.1.2.x", "emailrelay.01.2.3", "emailrelay.1.2.-3",
          "emailrelay.1.2.99999999999999999999", "Emailrelay.1.2.3", "emailrelay.1.2.3 "})
        EXPECT_FALSE(parse_name(id)) << id;
    EXPECT_TRUE(parse_name("emailrelay.0.0.0"));
}

TEST(names, finds_the_id) {
    EXPECT_EQ(id_of("foo.envelope", envelope_suffix), "foo");
    EXPECT_EQ(id_of("foo.envelope.busy", envelope_suffix), "");
    EXPECT_EQ(id_of("foo.envelope.bad", bad_suffix), "foo");
    EXPECT_EQ(id_of(".envelope", envelope_suffix), "");
    EXPECT_EQ(name_of("foo", content_suffix), "foo.content");
}

TEST(names, orders_by_time_then_sequence_and_foreign_last) {
    std::vector<std::string> ids{"foo",
                                 "emailrelay.9.100.2",
                                 "bar",
                                 "emailrelay.1.200.1",
                                 "emailrelay.1.100.10",
                                 "emailrelay.1.100.9",
                                 "emailrelay.2.100.9"};
    std::sort(ids.begin(), ids.end(), goes_before);
    std::vector<std::string> expected{"emailrelay.9.100.2",
                                      "emailrelay.1.100.9",
                                      "emailrelay.2.100.9",
                                      "emailrelay.1.100.10",
                                      "emailrelay.1.200.1",
                                      "bar",
                                      "foo"};
    EXPECT_EQ(ids, expected);
}

} // namespace spool
