// What spamd answers to PROCESS (spec/filters-and-verifiers.md section 5): read as it comes, octets counted.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace filter {

// The request in front of the content.
std::string spamd_request(std::uint64_t content_size);

class spamd_reply {
public:
    static constexpr std::size_t longest_head = 64 * 1024;

    // The next octets; gives those of them that belong to the returned content.
    std::string_view feed(std::string_view bytes);

    bool complete() const noexcept { return state_ == state::complete && !failed(); }
    bool failed() const noexcept { return !error_.empty(); }
    // "spam client error: invalid response: <line>", "spam client error: invalid response headers",
    // "incorrect content length in spam response"; the line as it came.
    const std::string& error() const noexcept { return error_; }

    bool is_spam() const noexcept { return is_spam_; }
    const std::string& verdict() const noexcept { return verdict_; } // "spam: True ; 15.0 / 5.0"
    std::uint64_t content_size() const noexcept { return size_; }

private:
    enum class state { status, headers, content, complete };

    void take_line(std::string_view line);
    void take_header(std::string_view line);
    void fail(std::string why);

    state state_ = state::status;
    std::string line_; // begun
    std::size_t head_ = 0;
    bool is_spam_ = false;
    std::string verdict_;
    std::uint64_t size_ = 0;
    std::uint64_t received_ = 0;
    std::string error_;
};

} // namespace filter
