#include "submit/queue_text.hpp"

#include "base/text.hpp"
#include "mail/date.hpp"

#include <fmt/format.h>

namespace submit {

namespace {

constexpr std::size_t indent = 75; // of recipients

// "Sun Nov 22 05:42:58"
std::string short_date(const std::optional<base::calendar_time>& t) {
    if (!t)
        return {};
    const std::string date = mail::format_date(*t); // "Sun, 22 Nov 2026 05:42:58 +0000"
    const std::vector<std::string> parts = base::split(date, ' ');
    return fmt::format("{} {} {:>2} {}", parts[0].substr(0, 3), parts[2], parts[1], parts[4]);
}

std::string shown(const std::string& address) {
    return address.empty() ? "<>" : base::printable(address);
}

} // namespace

std::string queue_text(const std::vector<queued_message>& messages) {
    if (messages.empty())
        return "Mail queue is empty\n";
    std::string text = fmt::format("{:-<40} {:->10} {:-^20} {:-<24}\n", "-Queue ID", "Size-", "Arrival Time",
                                   "-Sender/Recipient");
    std::uint64_t octets = 0;
    for (const queued_message& m : messages) {
        octets += m.size;
        text += fmt::format("{:<40} {:>10} {:<20} {}\n", base::printable(m.id) + m.mark, m.size,
                            short_date(m.arrived), shown(m.sender));
        if (!m.reason.empty())
            text += fmt::format("{:>{}}\n", fmt::format("({})", base::printable(m.reason)), indent);
        for (const std::string& address : m.recipients)
            text += fmt::format("{:{}}{}\n", "", indent - 2, shown(address));
        text += '\n';
    }
    text += fmt::format("-- {} Kbytes in {} Request{}.\n", (octets + 1023) / 1024, messages.size(),
                        messages.size() == 1 ? "" : "s");
    return text;
}

} // namespace submit
