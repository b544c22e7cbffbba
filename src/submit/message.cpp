#include "submit/message.hpp"

#include "base/text.hpp"
#include "mail/date.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

namespace submit {

namespace {

using addresses = std::vector<std::string>;

base::error wrong(std::string text) {
    return {{}, std::move(text)};
}

// The first of the originators that there is; empty if there is none.
base::result<std::string> sender_in(const mail::header_section& header) {
    auto from = mailboxes_of(header, "From");
    if (from.has_error())
        return from.error();
    if (from->size() == 1)
        return from->front();
    auto sender = mailboxes_of(header, "Sender");
    if (sender.has_error())
        return sender.error();
    if (!sender->empty())
        return sender->front();
    return from->empty() ? std::string() : from->front();
}

// An address of the command line. "\-x" is "-x": a shell-friendly way to write it.
base::result<std::string> address_given(std::string_view word) {
    const std::string_view address = word.starts_with('\\') ? word.substr(1) : word;
    if (address.empty() || has_control_characters(address))
        return wrong(fmt::format("invalid recipient address: [{}]", base::printable(address)));
    return std::string(address);
}

// Who gets the message, by where it was said.
struct recipients {
    addresses open;   // of the command line, or To and Cc
    addresses hidden; // Bcc
};

base::result<recipients> find_recipients(const request& wanted, const mail::header_section& header) {
    recipients found;
    for (const std::string& word : wanted.to) {
        auto address = address_given(word);
        if (address.has_error())
            return address.error();
        found.open.push_back(std::move(*address));
    }
    if (!wanted.to.empty())
        return found;
    auto open = mailboxes_of(header, {"To", "Cc"});
    if (open.has_error())
        return open.error();
    auto hidden = mailboxes_of(header, "Bcc");
    if (hidden.has_error())
        return hidden.error();
    return recipients{std::move(*open), std::move(*hidden)};
}

// Without the day of the week.
std::string date_line(const base::calendar_time& now) {
    const std::string date = mail::format_date(now);
    return "Date: " + date.substr(date.find(' ') + 1) + "\r\n";
}

// What all messages of one call share: the header but for its recipients, and the envelope but for its own.
class builder {
public:
    builder(const request& wanted, std::string_view header, const stamp& when)
        : wanted_(wanted), header_(header), when_(when) {}

    base::result<std::vector<message>> build() {
        if (auto sender = find_sender(); sender.has_error())
            return sender.error();
        auto found = find_recipients(wanted_, header_);
        if (found.has_error())
            return found.error();
        const bool none = found->open.empty() && found->hidden.empty();
        if (wanted_.replace_recipients && none)
            return wrong("content-to option used but no envelope-to addresses have been defined");
        edit_originators();
        if (wanted_.bcc_split && found->hidden.size() >= 2)
            return split(*found);
        addresses all = std::move(found->open);
        std::move(found->hidden.begin(), found->hidden.end(), std::back_inserter(all));
        std::vector<message> one;
        one.push_back(make(std::move(all), header_));
        return one;
    }

private:
    base::result<void> find_sender() {
        if (wanted_.from) {
            if (has_control_characters(*wanted_.from))
                return wrong(fmt::format("invalid sender address: [{}]", base::printable(*wanted_.from)));
            sender_ = *wanted_.from;
            named_ = !sender_.empty();
            return {};
        }
        auto found = sender_in(header_);
        if (found.has_error())
            return found.error();
        named_ = !found->empty();
        sender_ = named_ ? std::move(*found) : "anonymous";
        return {};
    }

    void edit_originators() {
        if (wanted_.replace_originators)
            header_.remove({"From", "Sender"});
    }

    // The message to those that everybody may see, then one to each of the others.
    std::vector<message> split(recipients& to) const {
        std::vector<message> all;
        if (!to.open.empty()) {
            mail::header_section header = header_;
            header.remove({"Bcc"});
            all.push_back(make(std::move(to.open), std::move(header)));
        }
        for (const std::string& address : to.hidden) {
            mail::header_section header = header_;
            header.replace("Bcc", fmt::format("bcc: {}\r\n", address));
            all.push_back(make({address}, std::move(header)));
        }
        return all;
    }

    message make(addresses to, mail::header_section header) const {
        // From the last of the added lines to the first.
        if (wanted_.add_date && !header.has("Date"))
            header.put_in_front(date_line(when_.now));
        if (wanted_.message_id_domain && !header.has("Message-ID"))
            header.put_in_front(message_id_line(when_, *wanted_.message_id_domain));
        if (wanted_.replace_originators)
            header.put_in_front(named_ ? fmt::format("From: {}\r\n", sender_) : "From: anonymous:;\r\n");
        if (wanted_.replace_recipients) {
            header.remove({"To", "Cc", "Bcc"});
            header.put_in_front(to_line(to));
        }
        message made;
        made.header = header.text() + "\r\n";
        mail::envelope& e = made.envelope;
        e.from = sender_;
        e.to_remote = std::move(to);
        e.authentication = wanted_.authentication;
        e.client = "127.0.0.1";
        e.mail_from_auth_in = wanted_.mail_from_auth_in;
        e.mail_from_auth_out = wanted_.mail_from_auth_out;
        const auto is_ascii = [](const std::string& address) {
            return base::is_ascii(address);
        };
        e.utf8_mailboxes =
            !is_ascii(sender_) || !std::all_of(e.to_remote.begin(), e.to_remote.end(), is_ascii);
        return made;
    }

    const request& wanted_;
    mail::header_section header_;
    const stamp& when_;
    std::string sender_;
    bool named_ = false; // the sender is an address, not "anonymous" for want of one
};

} // namespace

base::result<std::vector<message>> build_messages(const request& wanted, std::string_view header,
                                                  const stamp& when) {
    return builder(wanted, header, when).build();
}

} // namespace submit
