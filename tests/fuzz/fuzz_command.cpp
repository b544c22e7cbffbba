// One command line of SMTP, and every part of it that is taken apart.
//
// Oracles: what is found lies within the line and has no control character where that is promised; an address
// put back between brackets is found again.
#include "smtp/command.hpp"
#include "support.hpp"

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace {

void require_within(std::string_view part, std::string_view line) {
    if (!part.empty())
        require(part.data() >= line.data() && part.data() + part.size() <= line.data() + line.size(),
                "outside of the line");
}

void check_path(std::string_view argument, std::string_view keyword, bool brackets) {
    const smtp::path found = smtp::parse_path(argument, keyword, brackets);
    require_within(found.address, argument);
    require_within(found.parameters, argument);
    if (found.wrong != smtp::path::fault::none) {
        require(found.wrong == smtp::path::fault::no_keyword || !smtp::describe(found.wrong).empty(),
                "no text");
        return;
    }
    require(base::is_utf8(found.address), "no UTF-8");
    require(std::ranges::none_of(found.address,
                                 [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }),
            "control character");
    require_within(smtp::mailbox_part(found.address), argument);
    require_within(smtp::domain_part(found.address), argument);

    const smtp::mail_parameters given = smtp::parse_mail_parameters(found.parameters);
    require_within(given.body, argument);
    require_within(given.auth, argument);
    require(!given.size || !given.size_overflow, "both a size and none");

    // Without brackets an address may hold what ends one that has them.
    if (found.address.find_first_of("<>\"\\") != std::string_view::npos)
        return;
    const std::string again = std::string(keyword) + "<" + std::string(found.address) + ">";
    const smtp::path second = smtp::parse_path(again, keyword, true);
    require(second.wrong == smtp::path::fault::none && second.address == found.address, "not found again");
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    // Memory of its own: reading behind it is seen.
    const std::unique_ptr<char[]> copy(new char[size]);
    std::copy_n(data, size, copy.get());
    const std::string_view line(copy.get(), size);
    const smtp::command c = smtp::parse_command(line);
    require_within(c.word, line);
    require_within(c.argument, line);
    const smtp::chunk_argument chunk = smtp::parse_chunk_argument(c.argument);
    require(!chunk.size || !c.argument.empty(), "a size out of nothing");
    for (bool brackets : {true, false}) {
        check_path(c.argument, "FROM:", brackets);
        check_path(c.argument, "TO:", brackets);
    }
    return 0;
}
