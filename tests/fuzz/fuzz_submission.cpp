// Any input of emailrelay-submit and emailrelay-sendmail: in pieces it gives the same as in one, and the
// envelopes made of its header can be written and read again.
//
// Input: an octet of switches, one for the sizes of the pieces, then the message.
#include "mail/envelope.hpp"
#include "submit/content_splitter.hpp"
#include "submit/message.hpp"
#include "submit/sendmail_message.hpp"
#include "support.hpp"

#include <cstdint>
#include <string>
#include <string_view>

namespace {

struct divided {
    std::string header, body;
};

divided divide(std::string_view text, const submit::splitting& how, std::size_t piece) {
    submit::content_splitter s(how);
    divided found;
    while (!text.empty() && !s.over()) {
        const std::string_view next = text.substr(0, piece);
        s.feed(next);
        found.body += s.take_body();
        text.remove_prefix(next.size());
    }
    s.end();
    require(s.over() && s.header_complete());
    found.header = s.header();
    found.body += s.take_body();
    return found;
}

void check(const submit::message& made) {
    require(made.header.ends_with("\r\n"));
    const auto again = mail::parse_envelope(mail::format_envelope(made.envelope));
    require(again.has_value() && again->value.from == made.envelope.from &&
            again->value.to_remote == made.envelope.to_remote);
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size < 2)
        return 0;
    const unsigned switches = data[0];
    const std::string_view text(reinterpret_cast<const char*>(data) + 2, size - 2);
    const submit::splitting how{.body_only = (switches & 1) != 0,
                                .dot_ends = (switches & 2) != 0,
                                .header_ends_by_itself = (switches & 4) != 0};
    const divided whole = divide(text, how, text.size());
    const divided pieces = divide(text, how, 1 + data[1] % 16);
    require(whole.header == pieces.header && whole.body == pieces.body);
    require(whole.header.empty() || whole.header.ends_with("\r\n"));
    require(whole.body.empty() || whole.body.ends_with("\r\n"));

    const submit::stamp when{};
    const submit::request wanted{.add_date = true,
                                 .replace_originators = (switches & 8) != 0,
                                 .replace_recipients = (switches & 16) != 0,
                                 .bcc_split = (switches & 32) != 0,
                                 .message_id_domain = "local"};
    if (const auto built = submit::build_messages(wanted, whole.header, when); built.has_value())
        for (const submit::message& one : *built)
            check(one);
    submit::sendmail_options options;
    options.recipients_in_header = true;
    const submit::sendmail_caller caller{.login = "joe", .full_name = "Joe", .mail_domain = [] {
                                             return std::string("host");
                                         }};
    if (const auto built = submit::build_sendmail_message(options, caller, whole.header, when);
        built.has_value())
        check(*built);
    return 0;
}
