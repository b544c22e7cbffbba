#include "filter/exit_code.hpp"

#include <gtest/gtest.h>

#include <map>
#include <string>

namespace filter {

namespace {

std::string shown(const result& r) {
    constexpr const char* names[] = {"ok", "fail", "abandon"};
    return std::string(names[static_cast<int>(r.what)]) + (r.special ? "+" : "");
}

} // namespace

// spec/filters-and-verifiers.md section 2
TEST(exit_codes, mean_what_the_table_says) {
    struct row {
        unsigned code;
        const char* server;
        const char* client;
    };
    for (const row& r :
         {row{0, "ok", "ok"}, row{1, "fail", "fail"}, row{99, "fail", "fail"}, row{100, "abandon", "abandon"},
          row{101, "ok", "ok"}, row{102, "abandon+", "ok+"}, row{103, "ok+", "ok"},
          row{104, "fail+", "abandon+"}, row{105, "fail", "fail+"}, row{106, "fail", "fail"},
          row{115, "fail", "fail"}, row{116, "fail", "fail"}, row{127, "fail", "fail"},
          row{137, "fail", "fail"}, row{255, "fail", "fail"}, row{100'000, "fail", "fail"}}) {
        EXPECT_EQ(shown(result_of_exit(kind::server, r.code)), r.server) << r.code;
        EXPECT_EQ(shown(result_of_exit(kind::client, r.code)), r.client) << r.code;
        EXPECT_EQ(shown(result_of_exit(kind::routing, r.code)), r.client) << r.code;
    }
}

TEST(output, of_hostile_programs) {
    EXPECT_EQ(read_output(std::string(100'000, '<')).response, "rejected");
    EXPECT_EQ(read_output("<<" + std::string(2000, 'x') + ">>").response, "rejected");
    EXPECT_EQ(read_output(std::string("<<a\0b>>", 7)).response, std::string("a\0b", 3));
    EXPECT_EQ(read_output("<<4\xff\xff x>>").code, 0);
    EXPECT_EQ(read_output("<<>>").response, "rejected");
    EXPECT_EQ(read_output("<<").response, "rejected");
    EXPECT_EQ(read_output("\r\r\n\n<<x>>").response, "x");
    told both = read_output("<<421 closing>>\n[[the reason]]");
    EXPECT_EQ(both.code, 421);
    EXPECT_EQ(both.response, "closing");
    EXPECT_EQ(both.reason, "the reason");
}

} // namespace filter
