#include "filter/network_answer.hpp"

#include <gtest/gtest.h>

namespace filter {
namespace {

using outcome = result::outcome;

TEST(network_answer, good_ones) {
    for (const char* line : {"", "ok", "okay then", "ok\treason"})
        EXPECT_EQ(read_network_answer(line).what, outcome::ok) << line;
    for (const char* line : {"100", "100 text", "100\ttext"})
        EXPECT_EQ(read_network_answer(line).what, outcome::abandon) << line;
}

TEST(network_answer, bad_ones) {
    struct row {
        const char* line;
        int code;
        const char* response;
        const char* reason;
    };
    for (const row& r :
         {row{"no", 0, "no", "no"}, row{"OK", 0, "OK", "OK"}, row{"Ok", 0, "Ok", "Ok"},
          row{"go away\tspam", 0, "go away", "spam"}, row{"550 no", 550, "no", "550 no"},
          row{"450", 450, "", "450"}, row{"599 x\twhy", 599, "x", "why"}, row{"400\twhy", 400, "", "why"},
          row{"399 x", 0, "399 x", "399 x"}, row{"600 x", 0, "600 x", "600 x"},
          row{"499x", 0, "499x", "499x"}, row{"1000", 0, "1000", "1000"}, row{"55", 0, "55", "55"},
          row{" ok", 0, " ok", " ok"}, row{"100x", 0, "100x", "100x"}, row{"\twhy", 0, "", "why"}}) {
        result got = read_network_answer(r.line);
        EXPECT_EQ(got.what, outcome::fail) << r.line;
        EXPECT_EQ(got.code, r.code) << r.line;
        EXPECT_EQ(got.response, r.response) << r.line;
        EXPECT_EQ(got.reason, r.reason) << r.line;
    }
}

} // namespace
} // namespace filter
