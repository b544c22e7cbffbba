// What fuzz targets have in common: an oracle that speaks, and inputs that are played whole and in pieces.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string_view>

// What must be true of every input.
inline void require(bool holds, const char* what = "an oracle") {
    if (holds)
        return;
    std::fprintf(stderr, "broken: %s\n", what);
    std::abort();
}

// An input whose first octet says how the rest is cut.
struct cut_input {
    std::string_view text;
    std::size_t piece; // 1 to 16

    std::size_t whole() const noexcept { return text.empty() ? 1 : text.size(); }
};

inline std::optional<cut_input> read_cut(const std::uint8_t* data, std::size_t size) {
    if (size == 0)
        return std::nullopt;
    return cut_input{{reinterpret_cast<const char*>(data) + 1, size - 1}, data[0] % 16U + 1};
}

// Calls take(piece) for one piece after the other, the last one shorter. Each is memory of its own: reading
// past it is seen.
template <class Take>
void in_pieces(std::string_view text, std::size_t piece, Take take) {
    while (!text.empty()) {
        const std::string_view next = text.substr(0, piece);
        const std::unique_ptr<char[]> copy(new char[next.size()]);
        next.copy(copy.get(), next.size());
        take(std::string_view(copy.get(), next.size()));
        text.remove_prefix(next.size());
    }
}
