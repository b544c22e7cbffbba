#include "verify/answer.hpp"

#include <algorithm>

namespace verify {

lines read_lines(std::string_view printed) {
    std::size_t last = printed.find_last_not_of(" \t\r\n");
    std::string text(printed.substr(0, last == printed.npos ? 0 : last + 1));
    std::erase(text, '\r');
    lines found;
    std::size_t end = text.find('\n');
    found.first = text.substr(0, end);
    if (end != text.npos) {
        std::string rest = text.substr(end + 1);
        found.has_second = true;
        found.second = rest.substr(0, rest.find('\n'));
    }
    return found;
}

verdict verdict_of_exit(unsigned code, const lines& printed) {
    verdict found;
    if (code == 100) {
        found.what = verdict::kind::abort_session;
        return found;
    }
    if (code == 0 && printed.has_second) {
        found.what = verdict::kind::local;
        found.full_name = printed.first;
        found.address = printed.second;
        return found;
    }
    if (code == 1 && printed.has_second) {
        found.address = printed.second;
        return found;
    }
    found.what = code == 3 ? verdict::kind::rejected_for_now : verdict::kind::rejected;
    found.response = printed.first.empty() ? "mailbox unavailable" : printed.first;
    found.reason = printed.has_second ? printed.second : "exit code " + std::to_string(code);
    return found;
}

} // namespace verify
