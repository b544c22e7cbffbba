#include "verify/network_answer.hpp"

#include "base/text.hpp"

#include <array>

namespace verify {

std::optional<std::string> network_question(const request& asked) {
    std::string out;
    for (const std::string* field : std::array<const std::string*, 6>{
             &asked.address, &asked.from, &asked.client, &asked.domain, &asked.mechanism, &asked.identity}) {
        if (field->find_first_of("|\r\n") != field->npos)
            return std::nullopt;
        if (field != &asked.address)
            out += '|';
        out += *field;
    }
    return out;
}

verdict read_network_answer(std::string_view line) {
    using kind = verdict::kind;
    const std::vector<std::string> fields = base::split(line, '|');
    const auto field = [&fields](std::size_t i) {
        return i < fields.size() ? fields[i] : std::string();
    };
    if (line.starts_with("100"))
        return {kind::abort_session, {}, {}, {}, {}};
    if (fields[0] == "0" && fields.size() == 3)
        return {kind::local, field(1), field(2), {}, {}};
    if (fields[0] == "1" && fields.size() >= 2)
        return {kind::remote, field(1), {}, {}, {}};
    if (fields[0] == "2" && fields.size() >= 2)
        return verdict::reject(field(1), field(2));
    if (fields[0] == "3" && fields.size() >= 2)
        return verdict::reject_for_now(field(1), field(2));
    return verdict::reject({}, {});
}

} // namespace verify
