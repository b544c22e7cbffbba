// An answer of spamd, after a first octet that says how it is cut.
//
// It is complete, or not, however it is cut; complete means that exactly the announced octets were given on.
#include "filter/spamd_reply.hpp"
#include "support.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>

namespace {

struct heard {
    filter::spamd_reply reply;
    std::string content;
};

heard hear(std::string_view text, std::size_t piece) {
    heard out;
    in_pieces(text, piece, [&out](std::string_view now) { out.content += out.reply.feed(now); });
    return out;
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto input = read_cut(data, size);
    if (!input)
        return 0;
    heard whole = hear(input->text, input->whole());
    heard cut = hear(input->text, input->piece);
    require(whole.reply.complete() == cut.reply.complete());
    require(whole.reply.failed() == cut.reply.failed());
    require(whole.reply.error() == cut.reply.error());
    if (!whole.reply.complete())
        return 0;
    require(whole.content == cut.content);
    require(whole.content.size() == whole.reply.content_size());
    require(input->text.ends_with(whole.content));
    return 0;
}
