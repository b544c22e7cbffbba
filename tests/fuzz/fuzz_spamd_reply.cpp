// An answer of spamd, after a first octet that says how it is cut.
//
// It is complete, or not, however it is cut; complete means that exactly the announced octets were given on.
#include "filter/spamd_reply.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

namespace {

void require(bool condition) {
    if (!condition)
        std::abort();
}

struct heard {
    filter::spamd_reply reply;
    std::string content;
};

heard hear(std::string_view text, std::size_t piece) {
    heard out;
    for (std::size_t at = 0; at < text.size(); at += piece)
        out.content += out.reply.feed(text.substr(at, piece));
    return out;
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0)
        return 0;
    std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
    heard whole = hear(text, std::max<std::size_t>(text.size(), 1));
    heard cut = hear(text, data[0] % 16 + 1U);
    require(whole.reply.complete() == cut.reply.complete());
    require(whole.reply.failed() == cut.reply.failed());
    require(whole.reply.error() == cut.reply.error());
    if (!whole.reply.complete())
        return 0;
    require(whole.content == cut.content);
    require(whole.content.size() == whole.reply.content_size());
    require(text.ends_with(whole.content));
    return 0;
}
