#include "filter/parameters.hpp"

#include "base/text.hpp"

#include <algorithm>

namespace filter {

parameters::parameters(std::string_view text) : words_(base::split(text, ';')) {
    std::erase(words_, "");
}

bool parameters::has(std::initializer_list<std::string_view> words) const {
    return std::any_of(words_.begin(), words_.end(), [&](const std::string& given) {
        return std::find(words.begin(), words.end(), given) != words.end();
    });
}

} // namespace filter
