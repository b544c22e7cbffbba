#include "submit/sendmail_message.hpp"

#include "base/base64.hpp"
#include "base/text.hpp"
#include "mail/date.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <iterator>

namespace submit {

namespace {

constexpr std::array<std::string_view, 7> resent_fields = {"Resent-Date",      "Resent-From", "Resent-Sender",
                                                           "Resent-To",        "Resent-Cc",   "Resent-Bcc",
                                                           "Resent-Message-ID"};

// A message that somebody sends on: its own recipients are those of the first sending (RFC 5322
// section 3.6.6).
bool is_resent(const mail::header_section& header) {
    return std::any_of(resent_fields.begin(), resent_fields.end(),
                       [&](std::string_view name) { return header.has(name); });
}

// A name as a phrase of RFC 5322; as an encoded word of RFC 2047 when it is not ASCII; nothing when it is not
// text at all.
std::string phrase(std::string_view name) {
    constexpr std::string_view plain = "!#$%&'*+-/=?^_`{|}~ ";
    const auto is_plain = [&](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               plain.find(c) != plain.npos;
    };
    if (has_control_characters(name) || !base::is_utf8(name) || name.size() > 200)
        return {};
    if (std::all_of(name.begin(), name.end(), is_plain))
        return std::string(name);
    if (!base::is_ascii(name))
        return fmt::format("=?UTF-8?B?{}?=", base::base64_encode(name));
    std::string quoted = "\"";
    for (char c : name) {
        if (c == '"' || c == '\\')
            quoted += '\\';
        quoted += c;
    }
    return quoted + '"';
}

std::string from_line(std::string_view address, std::string_view full_name) {
    const std::string name = phrase(base::trim(full_name));
    return name.empty() ? fmt::format("From: {}\r\n", address)
                        : fmt::format("From: {} <{}>\r\n", name, address);
}

std::string domain_of(std::string_view address) {
    const std::size_t at = address.rfind('@');
    return at == address.npos ? std::string() : std::string(address.substr(at + 1));
}

} // namespace

std::string with_domain(std::string address, const std::function<std::string()>& mail_domain) {
    // An "@" in a quoted local part alone is none.
    const std::size_t at = address.rfind('@');
    if (!address.empty() && (at == address.npos || address.find('"', at) != address.npos))
        address += '@' + mail_domain();
    return address;
}

base::result<message> build_sendmail_message(const sendmail_options& o, const sendmail_caller& caller,
                                             std::string_view header_text, const stamp& when) {
    mail::header_section header(header_text);
    message made;
    mail::envelope& e = made.envelope;
    e.to_remote = o.recipients;
    if (o.recipients_in_header) {
        auto found = is_resent(header) ? mailboxes_of(header, {"Resent-To", "Resent-Cc", "Resent-Bcc"})
                                       : mailboxes_of(header, {"To", "Cc", "Bcc"});
        if (found.has_error())
            return found.error();
        std::move(found->begin(), found->end(), std::back_inserter(e.to_remote));
    }
    if (e.to_remote.empty())
        return base::error{{}, "no recipients in the headers"};
    for (std::string& address : e.to_remote)
        address = with_a_labels(with_domain(std::move(address), caller.mail_domain));

    e.from = with_a_labels(with_domain(o.from.value_or(caller.login), caller.mail_domain));
    e.content = o.body;
    e.client = "127.0.0.1";
    const auto is_ascii = [](const std::string& address) {
        return base::is_ascii(address);
    };
    e.utf8_mailboxes = !is_ascii(e.from) || !std::all_of(e.to_remote.begin(), e.to_remote.end(), is_ascii);

    header.remove({"Bcc", "Resent-Bcc", "Return-Path"});
    // From the last of the added lines to the first.
    const std::string originator = e.from.empty() ? with_domain(caller.login, caller.mail_domain) : e.from;
    if (!header.has("Message-ID")) {
        const std::string domain = domain_of(originator);
        header.put_in_front(
            message_id_line(when, can_be_message_id_domain(domain) ? domain : caller.mail_domain()));
    }
    if (!header.has("Date"))
        header.put_in_front("Date: " + mail::format_date(when.now) + "\r\n");
    if (!header.has("From"))
        header.put_in_front(from_line(originator, o.full_name.empty() ? caller.full_name : o.full_name));
    made.header = header.text() + "\r\n";
    return made;
}

} // namespace submit
