#include "verify/network_answer.hpp"

#include <gtest/gtest.h>

namespace verify {
namespace {

using kind = verdict::kind;

class nowhere final : public base::log_sink {
public:
    bool wants(base::severity, base::detail) const noexcept override { return false; }
    void write(base::severity, const base::log_context&, std::string_view) override {}
} sink;

request about(std::string address, std::string from) {
    return {std::move(address), std::move(from), "192.0.2.1:1234", "d.example", "none", "",
            base::logger(sink)};
}

TEST(network_question, six_fields) {
    EXPECT_EQ(network_question(about("you@example.net", "me@example.com")),
              "you@example.net|me@example.com|192.0.2.1:1234|d.example|none|");
    EXPECT_EQ(network_question(about("you", "")), "you||192.0.2.1:1234|d.example|none|");
    EXPECT_FALSE(network_question(about("a|b@example.net", "")));
    EXPECT_FALSE(network_question(about("a", "x|y")));
    EXPECT_FALSE(network_question(about("a\nb", "")));
}

TEST(network_answer, each_kind) {
    struct row {
        const char* line;
        kind what;
        const char *address, *full_name, *response, *reason;
    };
    for (const row& r :
         {row{"0|box|Full Name", kind::local, "box", "Full Name", "", ""},
          row{"0|box|", kind::local, "box", "", "", ""}, row{"0|box", kind::rejected, "", "", "", ""},
          row{"0|a|b|c", kind::rejected, "", "", "", ""}, row{"1|x@y", kind::remote, "x@y", "", "", ""},
          row{"1|", kind::remote, "", "", "", ""}, row{"1|x@y|more", kind::remote, "x@y", "", "", ""},
          row{"1", kind::rejected, "", "", "", ""}, row{"2|no", kind::rejected, "", "", "no", ""},
          row{"2|no|why", kind::rejected, "", "", "no", "why"}, row{"2", kind::rejected, "", "", "", ""},
          row{"3|later", kind::rejected_for_now, "", "", "later", ""},
          row{"3|later|why", kind::rejected_for_now, "", "", "later", "why"},
          row{"100", kind::abort_session, "", "", "", ""}, row{"100|x", kind::abort_session, "", "", "", ""},
          row{"", kind::rejected, "", "", "", ""}, row{"rubbish", kind::rejected, "", "", "", ""}}) {
        verdict got = read_network_answer(r.line);
        EXPECT_EQ(got.what, r.what) << r.line;
        EXPECT_EQ(got.address, r.address) << r.line;
        EXPECT_EQ(got.full_name, r.full_name) << r.line;
        EXPECT_EQ(got.response, r.response) << r.line;
        EXPECT_EQ(got.reason, r.reason) << r.line;
    }
}

} // namespace
} // namespace verify
