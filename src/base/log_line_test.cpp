#include "base/log_line.hpp"

#include <gtest/gtest.h>

using base::format_log_line;
using base::severity;

namespace {

const base::log_context full{
    .unit = "in", .address = "192.0.2.1", .port = "4711", .message_id = "emailrelay.1.2.3"};

} // namespace

TEST(log_line, plain) {
    EXPECT_EQ(format_log_line({}, "", severity::info, full, "smtp server on 0.0.0.0:25"),
              "emailrelay: info: smtp server on 0.0.0.0:25");
}

TEST(log_line, every_context_in_its_order) {
    base::log_layout all{.time = true, .unit = true, .address = true, .port = true, .message_id = true};
    EXPECT_EQ(format_log_line(all, "20261122.055543.350", severity::warning, full, "x"),
              "emailrelay: 20261122.055543.350: warning: [in] 192.0.2.1;4711: (1.2.3) x");
}

TEST(log_line, address_alone_and_port_alone) {
    EXPECT_EQ(format_log_line({.address = true}, "", severity::warning, full, "empty MAIL-FROM return path"),
              "emailrelay: warning: 192.0.2.1; empty MAIL-FROM return path");
    EXPECT_EQ(format_log_line({.port = true}, "", severity::error, full, "x"), "emailrelay: error: 4711: x");
}

TEST(log_line, what_is_not_known_is_not_shown) {
    base::log_layout all{.unit = true, .address = true, .port = true, .message_id = true};
    EXPECT_EQ(format_log_line(all, "", severity::debug, {}, "x"), "emailrelay: debug: x");
}

TEST(log_line, listening_lines_always_carry_the_unit) {
    base::log_context listening{.unit = "in", .always_unit = true};
    EXPECT_EQ(format_log_line({}, "", severity::info, listening, "x"), "emailrelay: info: [in] x");
}

TEST(log_line, is_cut_and_cannot_forge_another) {
    std::string line = format_log_line({}, "", severity::info, {}, std::string(5000, 'x'));
    EXPECT_EQ(line.size(), 1004U);
    EXPECT_TRUE(line.ends_with("x ..."));
    EXPECT_EQ(format_log_line({}, "", severity::info, {}, "a\x1b[2J\nb"), "emailrelay: info: a.[2J b");
    EXPECT_EQ(format_log_line({}, "", severity::info, {},
                              "a\r\tb\b\x7f\xc2\x9b\x32J\xc2\x85\xe2\x80\xa8\xc3\xbc\xc2"),
              "emailrelay: info: a..b...2J..\xc3\xbc\xc2");
}
