// The pure parts of the built-in filters.
#include "filter/copy.hpp"
#include "filter/delivery.hpp"
#include "filter/message_id.hpp"
#include "filter/parameters.hpp"
#include "filter/split.hpp"

#include <gtest/gtest.h>

#include <string>
#include <string_view>

namespace filter {

namespace {

bool has_message_id(std::string_view header, std::size_t piece) {
    field_search search("message-id:");
    for (std::size_t at = 0; at < header.size(); at += piece) {
        auto now = search.read(header.substr(at, piece));
        if (now != field_search::state::searching)
            return now == field_search::state::found;
    }
    return search.end() == field_search::state::found;
}

} // namespace

TEST(field_search, in_pieces_of_any_size) {
    struct row {
        const char* header;
        bool found;
    };
    for (const row& r :
         {row{"", false}, row{"Message-ID: x\r\n", true}, row{"MESSAGE-id:x", true}, row{"Message-ID", false},
          row{"X: y\nMessage-ID: x\n", true}, row{"\r\nMessage-ID: x\r\n", false},
          row{"X: y\n\nMessage-ID: x\n", false}, row{"X: y\r\n Message-ID: x\r\n", false},
          row{"XMessage-ID: x\r\n\r\n", false}, row{"M\nMessage-ID:\n", true}})
        for (std::size_t piece : {1, 2, 3, 7, 1000})
            EXPECT_EQ(has_message_id(r.header, piece), r.found) << r.header << " in pieces of " << piece;
}

TEST(mailbox_names, stay_in_their_directory) {
    for (std::string_view good : {"alice", "a b", "a.b", ".hidden", "...", "a@b", "\xc3\xa4"})
        EXPECT_TRUE(is_mailbox_name(good)) << good;
    using namespace std::string_view_literals;
    for (std::string_view bad :
         {""sv, "."sv, ".."sv, "a/b"sv, "/"sv, "a\\b"sv, "a\nb"sv, "a\0b"sv, "\x7f"sv, ".emailrelay-x"sv})
        EXPECT_FALSE(is_mailbox_name(bad)) << bad;
}

TEST(built_in_filters, know_what_they_ignore) {
    using words = std::vector<std::string>;
    EXPECT_EQ(unknown_to_copy("pop;h;no_delete;;nodelet;Pop"), (words{"nodelet", "Pop"}));
    EXPECT_EQ(unknown_to_copy(""), words());
    EXPECT_EQ(unknown_to_split("raw;2525;0;65536;25x;row"), (words{"0", "65536", "25x", "row"}));
}

TEST(split, by_domain) {
    auto groups = by_domain({"a@B", "c@b", "x", "\"q@z\"@a", "@"}, false);
    ASSERT_EQ(groups.size(), 3u);
    EXPECT_EQ(groups[""], (std::vector<std::string>{"x", "@"}));
    EXPECT_EQ(groups["a"], (std::vector<std::string>{"\"q@z\"@a"}));
    EXPECT_EQ(groups["b"], (std::vector<std::string>{"a@B", "c@b"}));
    EXPECT_EQ(by_domain({"a@B", "c@b"}, true).size(), 2u);
    EXPECT_TRUE(by_domain({}, false).empty());
}

TEST(parameters, are_words) {
    parameters given("h;;25");
    EXPECT_TRUE(given.has({"hardlink", "h"}));
    EXPECT_FALSE(given.has({"n"}));
    EXPECT_EQ(given.words().size(), 2u);
    EXPECT_TRUE(parameters("").words().empty());
}

} // namespace filter
