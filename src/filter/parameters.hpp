// The words behind the colon of a built-in filter, `;` between them: pure.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

namespace filter {

class parameters {
public:
    explicit parameters(std::string_view text);

    // One of these words is there.
    bool has(std::initializer_list<std::string_view> words) const;
    // Those that are none of these.
    std::vector<std::string> other_than(std::initializer_list<std::string_view> words) const;
    const std::vector<std::string>& words() const noexcept { return words_; }

private:
    std::vector<std::string> words_;
};

// 1 to 65535.
bool is_port(std::string_view text);

} // namespace filter
