#include "mail/hop_counter.hpp"

#include <gtest/gtest.h>

#include <algorithm>

namespace {

std::size_t hops_of(std::string_view content, std::size_t piece) {
    mail::hop_counter counter;
    for (; !content.empty(); content.remove_prefix(std::min(piece, content.size())))
        counter.scan(content.substr(0, piece));
    return counter.hops();
}

TEST(hop_counter, counts_received_lines_of_the_header) {
    struct {
        const char* content;
        std::size_t hops;
    } const rows[] = {
        {"", 0},
        {"Subject: x\r\n\r\nReceived: body\r\n", 0},
        {"Received: from a\r\n by b\r\nSubject: x\r\nreceived: from c\r\n\r\n", 2},
        {"RECEIVED:\nReceived:x\n\nReceived: body\n", 2},
        {"Received : x\r\nX-Received: x\r\n Received: folded\r\nReceive: x\r\nReceivedd: x\r\n", 0},
        {"\r\nReceived: body\r\n", 0},
        {"\nReceived: body\r\n", 0},
        {"\r\r\nReceived: x\r\n", 1}, // not an empty line
        {"\rReceived: x\r\nReceived: y\r\n", 1},
        {"Received: no end", 0},
    };
    for (const auto& row : rows)
        for (std::size_t piece : {1u, 2u, 3u, 7u, 9u, 10u, 1000u})
            EXPECT_EQ(hops_of(row.content, piece), row.hops) << row.content << " in pieces of " << piece;
}

} // namespace
