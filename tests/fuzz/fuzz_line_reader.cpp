// The reader of CR-LF lines: any input, cut at random and with any limit, gives the lines that a plain search
// finds. The first octet is the limit, the second the seed of the cuts.
#include "base/line_reader.hpp"
#include "support.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <vector>

namespace {

struct line {
    std::string text;
    std::size_t size;
    bool too_long;
    bool operator==(const line&) const = default;
};

std::vector<line> plainly(std::string_view text, std::size_t limit, std::size_t& rest) {
    std::vector<line> out;
    for (std::size_t end = text.find("\r\n"); end != std::string_view::npos; end = text.find("\r\n")) {
        const bool too_long = limit != 0 && end > limit;
        out.push_back({too_long ? std::string() : std::string(text.substr(0, end)), end, too_long});
        text.remove_prefix(end + 2);
    }
    rest = text.size();
    return out;
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size < 2)
        return 0;
    const std::size_t limit = data[0];
    std::minstd_rand random(data[1]);
    std::string_view input(reinterpret_cast<const char*>(data) + 2, size - 2);
    std::size_t rest = 0;
    const std::vector<line> wanted = plainly(input, limit, rest);

    base::line_reader reader(limit);
    std::vector<line> got;
    while (!input.empty()) {
        const std::size_t piece = std::min<std::size_t>(random() % 20 + 1, input.size());
        const std::unique_ptr<char[]> copy(new char[piece]); // the next octet is not ours to look at
        input.copy(copy.get(), piece);
        input.remove_prefix(piece);
        std::span<const char> left(copy.get(), piece);
        while (auto one = reader.take(left))
            got.push_back({std::string(one->text), one->size, one->too_long});
        require(left.empty(), "all is taken");
    }
    require(got == wanted, "the lines that are there");
    require(reader.size() == rest && reader.begun() == (rest != 0), "the line begun");
    return 0;
}
