#include "filter/parameters.hpp"

#include "base/text.hpp"

#include <algorithm>
#include <iterator>

namespace filter {

parameters::parameters(std::string_view text) : words_(base::split(text, ';')) {
    std::erase(words_, "");
}

bool parameters::has(std::initializer_list<std::string_view> words) const {
    return std::any_of(words_.begin(), words_.end(), [&](const std::string& given) {
        return std::find(words.begin(), words.end(), given) != words.end();
    });
}

std::vector<std::string> parameters::other_than(std::initializer_list<std::string_view> words) const {
    std::vector<std::string> out;
    std::copy_if(words_.begin(), words_.end(), std::back_inserter(out), [&](const std::string& given) {
        return std::find(words.begin(), words.end(), given) == words.end();
    });
    return out;
}

bool is_port(std::string_view text) {
    auto number = base::to_number(text);
    return number && *number > 0 && *number <= 65535;
}

} // namespace filter
