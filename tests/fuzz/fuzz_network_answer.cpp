// What servers that are asked about messages and addresses answer, and the question that a client's words go
// into.
//
// Oracles: a question keeps its six fields, on one line, or is not asked; an answer is a verdict; only "ok"
// or nothing passes a message, and a number only an address.
#include "filter/network_answer.hpp"
#include "support.hpp"
#include "verify/network_answer.hpp"

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>

namespace {

class silence : public base::log_sink {
public:
    bool wants(base::severity, base::detail) const noexcept override { return false; }
    void write(base::severity, const base::log_context&, std::string_view) override {}
};

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string line(data, data + size);

    const filter::result filtered = filter::read_network_answer(line);
    if (filtered.what == filter::result::outcome::ok)
        require(line.empty() || line.starts_with("ok"), "let through without ok");
    require(filtered.code == 0 || (filtered.code >= 400 && filtered.code <= 599), "no code for a refusal");

    using kind = verify::verdict::kind;
    const verify::verdict found = verify::read_network_answer(line);
    if (found.what == kind::local || found.what == kind::remote)
        require(line.find_first_of("01") != std::string::npos, "valid without a number");

    silence nothing;
    const verify::request asked{line, "from", "127.0.0.1:1", "domain", "none", "", base::logger(nothing)};
    if (const auto question = verify::network_question(asked)) {
        std::string_view words = *question;
        if (words.ends_with('\n'))
            words.remove_suffix(1);
        require(words.find_first_of("\r\n") == std::string_view::npos, "more than one line");
        require(std::ranges::count(words, '|') == 5, "not six fields");
    }
    return 0;
}
