// What filters and verifiers print. Oracles: only the first 1024 octets of a filter's output count; what
// comes out is within its bounds and on one line; a header field is found in pieces of any size as in one.
#include "filter/exit_code.hpp"
#include "filter/message_id.hpp"
#include "support.hpp"
#include "verify/answer.hpp"

#include <string>
#include <string_view>

namespace {

bool is_found(std::string_view text, std::size_t piece) {
    filter::field_search search("message-id:");
    for (std::size_t at = 0; at < text.size(); at += piece) {
        auto now = search.read(text.substr(at, piece));
        if (now != filter::field_search::state::searching)
            return now == filter::field_search::state::found;
    }
    return search.end() == filter::field_search::state::found;
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
    const std::string text(reinterpret_cast<const char*>(data), size);
    const filter::told told = filter::read_output(text);
    const filter::told again = filter::read_output(std::string_view(text).substr(0, 1024));
    require(told.code == 0 || (told.code >= 400 && told.code <= 599));
    require(told.response.find('\n') == std::string::npos && told.reason.find('\n') == std::string::npos);
    require(told.code == again.code && told.response == again.response && told.reason == again.reason);

    const verify::lines lines = verify::read_lines(text);
    require(lines.first.find('\n') == std::string::npos && lines.second.find('\n') == std::string::npos);
    require(lines.has_second || lines.second.empty());

    require(is_found(text, 1) == is_found(text, text.size() + 1));
    return 0;
}
