#include "mail/hop_counter.hpp"

#include "base/text.hpp"

namespace mail {

namespace {

constexpr std::string_view field = "received:";

} // namespace

void hop_counter::scan(std::string_view content) {
    while (in_header_ && !content.empty()) {
        const std::size_t end = content.find('\n');
        beginning_ += content.substr(0, end).substr(0, field.size() - beginning_.size());
        if (end == std::string_view::npos)
            return;
        end_of_line();
        content.remove_prefix(end + 1);
    }
}

void hop_counter::end_of_line() {
    if (beginning_.empty() || beginning_ == "\r")
        in_header_ = false;
    else if (base::iequals(beginning_, field))
        ++hops_;
    beginning_.clear();
}

} // namespace mail
