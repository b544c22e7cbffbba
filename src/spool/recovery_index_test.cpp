#include "spool/recovery_index.hpp"

#include <gtest/gtest.h>

namespace spool {

namespace {

// Numbers are sequence and time alike, unless a time is given.
journal_note note(record_kind kind, std::uint64_t sequence, const std::string& id, std::int64_t time = 0) {
    journal_note n;
    n.kind = kind;
    n.sequence = sequence;
    n.time = time != 0 ? time : static_cast<std::int64_t>(sequence);
    n.id = id;
    return n;
}

journal_note settled(std::uint64_t sequence, std::uint64_t through) {
    journal_note n;
    n.kind = record_kind::settled;
    n.sequence = sequence;
    n.time = static_cast<std::int64_t>(sequence);
    n.number = through;
    return n;
}

using kind = record_kind;

message_notes one_owner(std::vector<journal_note> notes, const std::string& id = "m") {
    return combine({{false, std::move(notes)}})[id];
}

} // namespace

TEST(recovery_index, keeps_promises_until_they_are_settled) {
    EXPECT_EQ(one_owner({note(kind::put, 1, "m")}).promises.size(), 1u);
    EXPECT_EQ(one_owner({note(kind::put, 1, "m"), settled(2, 1)}).promises.size(), 0u);
    EXPECT_EQ(one_owner({note(kind::put, 2, "m"), settled(3, 1)}).promises.size(), 1u);
    EXPECT_EQ(one_owner({settled(3, 2), note(kind::put, 1, "m")}).promises.size(), 0u); // in any order
}

TEST(recovery_index, knows_what_closes_what) {
    EXPECT_TRUE(one_owner({note(kind::put, 1, "m"), note(kind::withdrawn, 2, "m")}).promises.empty());
    EXPECT_TRUE(one_owner({note(kind::put, 1, "m"), note(kind::filed, 2, "m")}).promises.empty());
    EXPECT_TRUE(one_owner({note(kind::put, 1, "m"), note(kind::done, 2, "m", -1)}).promises.empty());
    EXPECT_TRUE(one_owner({note(kind::begin, 1, "m")}).begun);
    EXPECT_TRUE(one_owner({note(kind::begin, 1, "m"), note(kind::put, 2, "m")}).begun);
    EXPECT_FALSE(one_owner({note(kind::begin, 1, "m"), note(kind::end, 2, "m")}).begun);
    EXPECT_TRUE(one_owner({note(kind::begin, 1, "m"), settled(2, 1)}).begun); // settling does not end it
}

TEST(recovery_index, closes_claims_when_the_directory_is_flushed) {
    EXPECT_TRUE(one_owner({note(kind::claim, 1, "m")}).claim_open);
    EXPECT_TRUE(one_owner({note(kind::claim, 1, "m"), settled(2, 1)}).claim_open);
    auto given_back = one_owner({note(kind::claim, 1, "m"), note(kind::released, 2, "m")});
    EXPECT_FALSE(given_back.claim_open);
    EXPECT_TRUE(given_back.may_be_busy);
    EXPECT_FALSE(
        one_owner({note(kind::claim, 1, "m"), note(kind::released, 2, "m"), settled(3, 2)}).may_be_busy);
    EXPECT_TRUE(
        one_owner({note(kind::released, 1, "m"), note(kind::claim, 2, "m"), settled(3, 2)}).claim_open);
    // Flushed as files while it was in somebody's hands; the disk has lost the claim.
    EXPECT_TRUE(one_owner({note(kind::put, 1, "m"), note(kind::filed, 3, "m")}).may_be_busy);
    EXPECT_FALSE(one_owner({note(kind::put, 1, "m"), note(kind::filed, 3, "m"), settled(4, 1)}).may_be_busy);
    auto removed = one_owner({note(kind::claim, 1, "m"), note(kind::done, 2, "m")});
    EXPECT_FALSE(removed.claim_open);
    EXPECT_TRUE(removed.removal_open);
    EXPECT_FALSE(
        one_owner({note(kind::claim, 1, "m"), note(kind::done, 2, "m"), settled(3, 2)}).removal_open);
}

TEST(recovery_index, tells_claims_of_one_message_apart) {
    auto numbered = [](kind k, std::uint64_t sequence, std::uint64_t number) {
        journal_note n = note(k, sequence, "m");
        n.number = number;
        return n;
    };
    // The second did not get it: the first has it still.
    EXPECT_TRUE(
        one_owner({numbered(kind::claim, 1, 1), numbered(kind::claim, 2, 2), numbered(kind::released, 3, 2)})
            .claim_open);
    // The first gave it back, the second has it, and the record of that came late.
    EXPECT_TRUE(
        one_owner({numbered(kind::claim, 1, 1), numbered(kind::claim, 2, 2), numbered(kind::released, 3, 1)})
            .claim_open);
    // Said again at the beginning of a later segment.
    EXPECT_FALSE(
        one_owner({numbered(kind::claim, 1, 1), numbered(kind::claim, 2, 1), numbered(kind::released, 3, 1)})
            .claim_open);
}

TEST(recovery_index, takes_all_owners_together) {
    auto forwarded = [](std::int64_t put_time, std::int64_t done_time) {
        return combine({{false, {note(kind::put, 1, "m", put_time)}},
                        {false, {note(kind::done, 1, "m", done_time)}}})["m"];
    };
    EXPECT_TRUE(forwarded(10, 20).promises.empty());
    EXPECT_EQ(forwarded(20, 10).promises.size(), 1u); // the same id again
    auto withdrawn =
        combine({{false, {note(kind::put, 1, "m")}}, {false, {note(kind::withdrawn, 2, "m")}}})["m"];
    EXPECT_EQ(withdrawn.promises.size(), 1u); // only the owner can take back
    auto settled_elsewhere = combine({{false, {note(kind::put, 1, "m")}}, {false, {settled(2, 1)}}})["m"];
    EXPECT_EQ(settled_elsewhere.promises.size(), 1u); // numbers are an owner's own
    auto two = combine({{true, {note(kind::put, 9, "m")}}, {false, {note(kind::put, 1, "m")}}})["m"];
    ASSERT_EQ(two.promises.size(), 2u);
    EXPECT_EQ(two.promises[0].record.sequence, 1u); // oldest first
    EXPECT_FALSE(two.promises[0].memory_survived);
    EXPECT_TRUE(two.promises[1].memory_survived);
    EXPECT_FALSE(two.memory_survived);
}

} // namespace spool
