// The new messages are written out completely before the first of them is to be seen, and stored before the
// original gives their recipients away: what happens in between may repeat a delivery, never lose one. What
// fails leaves the original as it was and withdraws the new messages, but for those that a forwarder has
// taken already: they are delivered once more with the original rather than not at all.
#include "filter/split.hpp"

#include "base/text.hpp"
#include "filter/message_files.hpp"
#include "filter/parameters.hpp"

#include <boost/system/errc.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace filter {

namespace errc = boost::system::errc;

namespace {

// Each new message names all of them, and is stored at once with the others.
constexpr std::size_t most_groups = 500;

constexpr int most_attempts = 100;

std::string port_in(const parameters& given) {
    for (const std::string& word : given.words())
        if (is_port(word))
            return ":" + word;
    return {};
}

} // namespace

std::vector<std::string> unknown_to_split(std::string_view given) {
    std::vector<std::string> words = parameters(given).other_than({"raw"});
    std::erase_if(words, [](const std::string& word) { return is_port(word); });
    return words;
}

std::string_view domain_of(std::string_view recipient) noexcept {
    std::size_t at = recipient.rfind('@');
    return at == recipient.npos ? std::string_view() : recipient.substr(at + 1);
}

recipients_by_domain by_domain(const std::vector<std::string>& recipients, bool raw) {
    recipients_by_domain groups;
    for (const std::string& each : recipients) {
        std::string_view domain = domain_of(each);
        groups[raw ? std::string(domain) : base::to_lower(domain)].push_back(each);
    }
    return groups;
}

split::split(std::string_view given, const services& with)
    : blocking_filter(std::string("split:").append(given), with), raw_(parameters(given).has({"raw"})),
      port_(port_in(parameters(given))) {}

// The new messages, written out, and what becomes of the original.
struct split::parts {
    std::vector<std::string> ids; // of all of them, the original's first
    std::vector<spool::staged_message> others;
    mail::envelope first;
    std::vector<std::string> extra;
};

base::result<split::parts> split::stage(const job& now, const message_files& message,
                                        const mail::parsed_envelope& original,
                                        const recipients_by_domain& groups) {
    parts out;
    out.ids.push_back(now.id);
    while (out.ids.size() < groups.size())
        out.ids.push_back(store_.new_id());
    out.extra = original.extra;
    if (groups.size() > 1) {
        out.extra.push_back("X-MailRelay-SplitGroupCount: " + std::to_string(groups.size()));
        for (const std::string& id : out.ids)
            out.extra.push_back("X-MailRelay-SplitGroup: " + id);
    }
    std::size_t number = 0;
    for (const auto& [domain, recipients] : groups) {
        mail::envelope text = original.value;
        text.forward_to = domain_of(recipients.front());
        if (!text.forward_to.empty())
            text.forward_to += port_;
        text.to_remote = recipients;
        if (number == 0) {
            out.first = std::move(text);
        } else {
            text.to_local.clear();
            auto made = store_.stage_linked(out.ids[number], message.content_name(),
                                            mail::rewrite_envelope(text, out.extra));
            if (made.has_error())
                return made.error();
            out.others.push_back(std::move(*made));
        }
        ++number;
    }
    return out;
}

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

    // The names of the new messages are in each of them: if somebody has one, all are made anew.
    auto made = stage(now, message, *read, groups);
    for (int i = 1; i < most_attempts && made.has_error() && made.error().code == errc::file_exists; ++i)
        made = stage(now, message, *read, groups);
    if (made.has_error())
        return made.error();
    auto stored = store_.commit_at_once(std::move(made->others),
                                        [&] { return message.write_envelope(made->first, made->extra); });
    if (stored.has_error())
        return stored.error();
    for (std::size_t i = 1; i < made->ids.size(); ++i)
        now.log.verbose("{} [split:]: [{}]: new message [{}]", prefix_of(now.what), now.id, made->ids[i]);
    return result::ok();
}

} // namespace filter
