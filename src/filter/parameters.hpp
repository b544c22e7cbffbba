// The words behind the colon of a built-in filter, `;` between them: pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace filter {

class parameters {
public:
    explicit parameters(std::string_view text);

    // One of these words is there.
    bool has(std::initializer_list<std::string_view> words) const;
    const std::vector<std::string>& words() const noexcept { return words_; }

private:
    std::vector<std::string> words_;
};

} // namespace filter
