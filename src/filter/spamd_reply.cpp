#include "filter/spamd_reply.hpp"

#include "base/text.hpp"

#include <fmt/format.h>

#include <utility>

namespace filter {

std::string spamd_request(std::uint64_t content_size) {
    return fmt::format("PROCESS SPAMC/1.4\r\nContent-length: {}\r\n\r\n", content_size);
}

std::string_view spamd_reply::feed(std::string_view bytes) {
    while (!bytes.empty() && !failed() && (state_ == state::status || state_ == state::headers)) {
        std::size_t end = bytes.find('\n');
        std::size_t taken = end == bytes.npos ? bytes.size() : end + 1;
        head_ += taken;
        line_ += bytes.substr(0, taken);
        bytes.remove_prefix(taken);
        if (head_ > longest_head)
            fail("spam client error: invalid response headers");
        else if (end != bytes.npos)
            take_line(std::exchange(line_, {}));
    }
    if (failed() || bytes.empty())
        return {};
    if (state_ == state::complete || bytes.size() > size_ - received_) {
        // What is announced and what comes differ: no telling which part is the message.
        fail("incorrect content length in spam response");
        return {};
    }
    received_ += bytes.size();
    if (received_ == size_)
        state_ = state::complete;
    return bytes;
}

void spamd_reply::take_line(std::string_view line) {
    line.remove_suffix(1);
    if (line.ends_with('\r'))
        line.remove_suffix(1);
    if (state_ == state::headers)
        return take_header(line);
    // "SPAMD/1.1 0 EX_OK"
    std::size_t blank = line.find(' ');
    std::string_view code = blank == line.npos ? std::string_view() : base::trim(line.substr(blank));
    code = code.substr(0, code.find(' '));
    if (!line.starts_with("SPAMD/") || code != "0")
        return fail(fmt::format("spam client error: invalid response: {}", line));
    state_ = state::headers;
}

void spamd_reply::take_header(std::string_view line) {
    if (line.empty()) {
        if (size_ == 0)
            return fail("spam client error: invalid response headers");
        state_ = state::content;
        return;
    }
    std::size_t colon = line.find(':');
    if (colon == line.npos)
        return;
    std::string_view name = line.substr(0, colon), value = base::trim(line.substr(colon + 1));
    if (name == "Spam") {
        is_spam_ = !base::iequals(value.substr(0, 5), "False");
        verdict_ = fmt::format("spam: {}", value);
    } else if (base::iequals(name, "Content-length")) {
        size_ = base::to_number(value).value_or(0);
    }
}

void spamd_reply::fail(std::string why) {
    error_ = std::move(why);
}

} // namespace filter
