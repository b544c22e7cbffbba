// The new messages are written out completely before the first of them is to be seen, and stored before the
// original gives their recipients away: what happens in between may repeat a delivery, never lose one. What
// fails leaves the original as it was and withdraws the new messages, but for those that a forwarder has
// taken already: they are delivered once more with the original rather than not at all.
#include "filter/split.hpp"

#include "base/text.hpp"
#include "filter/message_files.hpp"
#include "filter/parameters.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace filter {

namespace {

// Each new message names all of them, and is stored at once with the others.
constexpr std::size_t most_groups = 500;

std::string port_in(const parameters& given) {
    for (const std::string& word : given.words())
        if (base::to_number(word))
            return ":" + word;
    return {};
}

} // namespace

std::string_view domain_of(std::string_view recipient) noexcept {
    std::size_t at = recipient.rfind('@');
    return at == recipient.npos ? std::string_view() : recipient.substr(at + 1);
}

std::map<std::string, std::vector<std::string>> by_domain(const std::vector<std::string>& recipients,
                                                          bool raw) {
    std::map<std::string, std::vector<std::string>> groups;
    for (const std::string& each : recipients) {
        std::string_view domain = domain_of(each);
        groups[raw ? std::string(domain) : base::to_lower(domain)].push_back(each);
    }
    return groups;
}

split::split(std::string_view given, const services& with)
    : blocking_filter(std::string("split:").append(given), with), raw_(parameters(given).has({"raw"})),
      port_(port_in(parameters(given))) {}

base::result<result> split::work_on(const job& now) {
    message_files message(store_, now);
    auto read = message.read_envelope();
    if (read.has_error())
        return read.error();
    auto groups = by_domain(read->value.to_remote, raw_);
    if (groups.empty())
        return result::ok();
    if (groups.size() > most_groups)
        return base::error{{}, fmt::format("too many domains: {}, {} at most", groups.size(), most_groups)};
    read->value.to_remote.clear(); // the groups have them

    std::vector<std::string> ids{now.id};
    while (ids.size() < groups.size())
        ids.push_back(store_.new_id());
    std::vector<std::string> extra = read->extra;
    if (groups.size() > 1) {
        extra.push_back("X-MailRelay-SplitGroupCount: " + std::to_string(groups.size()));
        for (const std::string& id : ids)
            extra.push_back("X-MailRelay-SplitGroup: " + id);
    }

    mail::envelope first;
    std::vector<spool::staged_message> others;
    std::size_t number = 0;
    for (auto& [domain, recipients] : groups) {
        mail::envelope text = read->value;
        text.forward_to = domain_of(recipients.front());
        if (!text.forward_to.empty())
            text.forward_to += port_;
        text.to_remote = std::move(recipients);
        if (number == 0) {
            first = std::move(text);
        } else {
            text.to_local.clear();
            auto made =
                store_.stage_linked(ids[number], message.content_name(), mail::rewrite_envelope(text, extra));
            if (made.has_error())
                return made.error();
            others.push_back(std::move(*made));
        }
        ++number;
    }
    auto stored =
        store_.commit_at_once(std::move(others), [&] { return message.write_envelope(first, extra); });
    if (stored.has_error())
        return stored.error();
    for (std::size_t made = 1; made < ids.size(); ++made)
        now.log.verbose("{} [split:]: [{}]: new message [{}]", prefix_of(now.what), now.id, ids[made]);
    return result::ok();
}

} // namespace filter
