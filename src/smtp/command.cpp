#include "smtp/command.hpp"

#include <algorithm>
#include <array>

namespace smtp {

namespace {

constexpr std::string_view blanks = " \t";

std::string_view behind_blanks(std::string_view text) noexcept {
    text.remove_prefix(std::min(text.find_first_not_of(blanks), text.size()));
    return text;
}

// Takes the first word off `text`, and the blanks in front of it.
std::string_view take_word(std::string_view& text) noexcept {
    text = behind_blanks(text);
    const std::string_view word = text.substr(0, text.find_first_of(blanks));
    text.remove_prefix(word.size());
    return word;
}

bool is_control(char c) noexcept {
    return static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
}

path failed(path::fault why) noexcept {
    path p;
    p.wrong = why;
    return p;
}

path checked(std::string_view address, std::string_view parameters) noexcept {
    if (!address.empty() && (address.front() == '@' || address.back() == '@'))
        return failed(path::fault::character);
    if (std::any_of(address.begin(), address.end(), is_control) || !base::is_utf8(address))
        return failed(path::fault::character);
    return {path::fault::none, address, parameters};
}

// Where the address behind "@a,@b:" begins; a colon inside a domain literal does not count.
std::size_t end_of_source_route(std::string_view text) noexcept {
    bool literal = false;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] == '[')
            literal = true;
        else if (text[i] == ']')
            literal = false;
        else if (text[i] == ':' && !literal)
            return i + 1;
    }
    return std::string_view::npos;
}

// The position behind the closing quote of a text that begins with one.
std::size_t end_of_quoting(std::string_view text) noexcept {
    for (std::size_t i = 1; i < text.size(); ++i) {
        if (text[i] == '"')
            return i + 1;
        if (text[i] == '\\')
            ++i;
    }
    return std::string_view::npos;
}

// `text` is what follows the opening bracket.
path parse_bracketed(std::string_view text) noexcept {
    if (!text.empty() && text.front() == '@') {
        const std::size_t bracket = text.find('>');
        if (bracket == std::string_view::npos)
            return failed(path::fault::no_address);
        const std::size_t behind = end_of_source_route(text.substr(0, bracket));
        if (behind == std::string_view::npos || behind == bracket)
            return failed(path::fault::source_route);
        text.remove_prefix(behind);
    }
    std::size_t quoted = 0;
    if (!text.empty() && text.front() == '"') {
        quoted = end_of_quoting(text);
        if (quoted == std::string_view::npos)
            return failed(path::fault::quoting);
    }
    const std::size_t bracket = text.find('>', quoted);
    if (bracket == std::string_view::npos)
        return failed(path::fault::no_address);
    const std::string_view rest = text.substr(bracket + 1);
    if (!rest.empty() && rest.front() != ' ')
        return failed(path::fault::text_behind);
    return checked(text.substr(0, bracket), rest);
}

} // namespace

command parse_command(std::string_view line) noexcept {
    struct entry {
        std::string_view name;
        verb what;
    };
    static constexpr std::array<entry, 14> verbs{{
        {"RCPT", verb::rcpt},
        {"MAIL", verb::mail},
        {"DATA", verb::data},
        {"EHLO", verb::ehlo},
        {"HELO", verb::helo},
        {"QUIT", verb::quit},
        {"RSET", verb::rset},
        {"NOOP", verb::noop},
        {"BDAT", verb::bdat},
        {"AUTH", verb::auth},
        {"STARTTLS", verb::starttls},
        {"VRFY", verb::vrfy},
        {"HELP", verb::help},
        {"EXPN", verb::expn},
    }};
    command c;
    c.word = take_word(line);
    c.argument = behind_blanks(line);
    const auto* found = std::find_if(verbs.begin(), verbs.end(),
                                     [&c](const entry& e) { return base::iequals(e.name, c.word); });
    if (found != verbs.end())
        c.what = found->what;
    return c;
}

path parse_path(std::string_view argument, std::string_view keyword, bool brackets_required) noexcept {
    if (!base::iequals(argument.substr(0, keyword.size()), keyword))
        return failed(path::fault::no_keyword);
    argument = behind_blanks(argument.substr(keyword.size()));
    if (argument.empty())
        return failed(path::fault::no_address);
    if (argument.front() == '<')
        return parse_bracketed(argument.substr(1));
    if (brackets_required)
        return failed(path::fault::no_brackets);
    const std::string_view address = take_word(argument);
    return checked(address, argument);
}

std::string_view describe(path::fault wrong) noexcept {
    switch (wrong) {
    case path::fault::no_brackets:
        return "missing angle brackets in mailbox name";
    case path::fault::no_address:
        return "invalid angle brackets in mailbox name";
    case path::fault::text_behind:
        return "invalid angle brackets";
    case path::fault::quoting:
        return "invalid quoting";
    case path::fault::source_route:
        return "invalid source route in mailbox name";
    case path::fault::character:
        return "invalid character in mailbox name";
    case path::fault::none:
    case path::fault::no_keyword:
        break;
    }
    return {};
}

std::string_view mailbox_part(std::string_view address) noexcept {
    return address.substr(0, address.rfind('@'));
}

std::string_view domain_part(std::string_view address) noexcept {
    const std::size_t at = address.rfind('@');
    return at == std::string_view::npos ? std::string_view() : address.substr(at + 1);
}

mail_parameters parse_mail_parameters(std::string_view text) noexcept {
    mail_parameters out;
    bool size_seen = false, body_seen = false, auth_seen = false;
    for (std::string_view word = take_word(text); !word.empty(); word = take_word(text)) {
        const std::size_t equals = word.find('=');
        const std::string_view key = word.substr(0, equals);
        const std::string_view value =
            equals == std::string_view::npos ? std::string_view() : word.substr(equals + 1);
        if (key == "SMTPUTF8" && !out.smtputf8) {
            out.smtputf8 = true;
            out.malformed = equals != std::string_view::npos;
        } else if (!size_seen && base::iequals(key, "SIZE")) {
            size_seen = true;
            out.size = base::to_number(value);
            out.size_overflow = !out.size && !value.empty() &&
                                value.find_first_not_of("0123456789") == std::string_view::npos;
        } else if (!body_seen && base::iequals(key, "BODY")) {
            body_seen = true;
            out.body = value;
        } else if (!auth_seen && base::iequals(key, "AUTH")) {
            auth_seen = true;
            out.auth = value;
        }
    }
    return out;
}

chunk_argument parse_chunk_argument(std::string_view argument) noexcept {
    chunk_argument out;
    out.size = base::to_number(take_word(argument));
    out.last = base::iequals(take_word(argument), "LAST");
    return out;
}

} // namespace smtp
