// Envelope text, from both sides.
//
// The input read as a file: whatever parses can be rewritten, and the rewritten text reads equal. The input
// read as the values of an envelope, one per line ended by 0x01: the text has exactly the lines that it
// should have, it parses, and an envelope of clean values comes back as it was.
#include "base/text.hpp"
#include "mail/envelope.hpp"
#include "support.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace {

void as_file(std::string_view text) {
    auto first = mail::parse_envelope(text);
    if (!first) {
        std::string message = first.error().message();
        require(message.starts_with("cannot read envelope file: "));
        require(message.size() < 500 && message.find_first_of("\r\n") == std::string::npos);
        return;
    }
    const mail::envelope& e = first->value;
    require(e.next_best.empty() || !e.forward_to_address.empty());
    for (const std::string& address : e.next_best)
        require(!address.empty() &&
                address.find_first_of(std::string_view("\r\n\0 ", 4)) == std::string::npos);
    for (const std::string* value : {&e.from, &e.client, &e.forward_to_address, &e.client_account_selector})
        require(value->find_first_of(std::string_view("\r\n\0", 3)) == std::string::npos);

    auto second = mail::parse_envelope(mail::rewrite_envelope(e, first->extra));
    require(second.has_value());
    require(second->value == e);
    require(second->extra == first->extra);
    require(second->crlf);
}

class values {
public:
    explicit values(std::string_view text) : rest_(text) {}

    bool more() const { return !rest_.empty(); }

    std::string next() {
        std::size_t end = rest_.find('\x01');
        std::string_view value = rest_.substr(0, end);
        rest_.remove_prefix(end == std::string_view::npos ? rest_.size() : end + 1);
        return std::string(value);
    }

private:
    std::string_view rest_;
};

mail::envelope envelope_of(std::string_view text) {
    values from(text);
    mail::envelope e;
    std::string flags = from.next();
    if (!flags.empty()) {
        e.content = static_cast<mail::body_type>(flags[0] & 3);
        e.utf8_mailboxes = (flags[0] & 4) != 0;
    }
    e.from = from.next();
    e.authentication = from.next();
    e.client = from.next();
    e.client_certificate = from.next();
    e.mail_from_auth_in = from.next();
    e.mail_from_auth_out = from.next();
    e.forward_to = from.next();
    e.forward_to_address = from.next();
    e.client_account_selector = from.next();
    while (from.more()) {
        std::string address = from.next();
        (address.starts_with('L') ? e.to_local : e.to_remote).push_back(address);
    }
    return e;
}

std::string cleaned(std::string_view value) {
    std::string out(value);
    std::erase_if(out, [](char c) { return c == '\r' || c == '\n' || c == '\0'; });
    return std::string(base::trim(out));
}

mail::envelope clean(mail::envelope e) {
    for (std::string* value : {&e.from, &e.client, &e.forward_to_address, &e.client_account_selector})
        *value = cleaned(*value);
    for (auto* list : {&e.to_local, &e.to_remote})
        std::transform(list->begin(), list->end(), list->begin(), cleaned);
    std::erase_if(e.client_certificate, [](char c) { return c == '\r' || c == '\0'; });
    e.client_certificate = std::string(base::trim(e.client_certificate));
    e.mail_from_auth_in = base::xtext_encode(e.mail_from_auth_in);
    e.mail_from_auth_out = base::xtext_encode(e.mail_from_auth_out);
    return e;
}

void as_values(std::string_view text) {
    mail::envelope e = envelope_of(text);
    std::string file = mail::format_envelope(e);

    std::size_t own_lines = 0;
    for (std::string_view rest = file; !rest.empty();) {
        std::size_t end = rest.find("\r\n");
        require(end != std::string_view::npos);
        std::string_view line = rest.substr(0, end);
        require(line.find_first_of(std::string_view("\r\n\0", 3)) == std::string_view::npos);
        bool folded = line.starts_with(' ');
        require(folded || line.starts_with("X-MailRelay-"));
        own_lines += folded ? 0 : 1;
        rest.remove_prefix(end + 2);
    }
    require(own_lines == 14 + e.to_local.size() + e.to_remote.size());

    auto read = mail::parse_envelope(file);
    require(read.has_value());
    require(read->extra.empty());
    require(read->value.to_local.size() == e.to_local.size());
    require(read->value.to_remote.size() == e.to_remote.size());
    require(mail::format_envelope(read->value) == file);

    e = clean(std::move(e));
    read = mail::parse_envelope(mail::format_envelope(e));
    require(read.has_value());
    require(read->value == e);
}

void as_reason(std::string_view text) {
    mail::envelope empty;
    std::string file = mail::format_envelope(empty) + mail::format_reason(text, 550, true);
    auto read = mail::parse_envelope(file);
    require(read.has_value());
    require(read->extra.size() == 2);
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    std::string_view text(reinterpret_cast<const char*>(data), size);
    as_file(text);
    as_values(text);
    as_reason(text);
    return 0;
}
