// Wire format: a length of four octets, a command octet, data; strings end in NUL, numbers have their high
// octet first. As there is no RFC the names of commands and flags are those of Sendmail's libmilter/mfdef.h.
#include "filter/milter_engine.hpp"

#include "base/text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

namespace filter {

namespace {

constexpr std::uint32_t our_version = 6;

// What the milter may ask for.
enum action_flag : std::uint32_t {
    may_add_headers = 0x1,
    may_change_body = 0x2,
    may_add_recipients = 0x4,
    may_delete_recipients = 0x8,
    may_change_headers = 0x10,
    may_quarantine = 0x20,
    may_change_sender = 0x40,
    may_add_recipients_with_parameters = 0x80,
    may_choose_macros = 0x100,
    all_actions = 0x1ff,
};

// What may be left out.
enum protocol_flag : std::uint32_t {
    no_connect = 0x1,
    no_helo = 0x2,
    no_mail = 0x4,
    no_rcpt = 0x8,
    no_body = 0x10,
    no_headers = 0x20,
    no_end_of_headers = 0x40,
    no_reply_header = 0x80,
    no_unknown = 0x100,
    no_data = 0x200,
    may_skip = 0x400,
    rejected_recipients = 0x800, // would be told of recipients that were refused: there are none
    no_reply_connect = 0x1000,
    no_reply_helo = 0x2000,
    no_reply_mail = 0x4000,
    no_reply_rcpt = 0x8000,
    no_reply_data = 0x10000,
    no_reply_unknown = 0x20000,
    no_reply_end_of_headers = 0x40000,
    no_reply_body = 0x80000,
    leading_space = 0x100000,
    all_protocol = 0x1fffff,
};

constexpr std::string_view changes = "bqhim+2-e"; // commands, at the end of a message

enum macro_stage : std::size_t {
    at_connect,
    at_helo,
    at_mail,
    at_rcpt,
    at_data,
    at_end,
    at_end_of_headers,
    stages
};

void put_number(std::string& to, std::uint32_t number) {
    for (unsigned shift : {24U, 16U, 8U, 0U})
        to += static_cast<char>(number >> shift & 0xffU);
}

std::uint32_t number_at(std::string_view text, std::size_t at) {
    std::uint32_t value = 0;
    for (std::size_t i = at; i < at + 4; ++i)
        value = value << 8 | static_cast<unsigned char>(text[i]);
    return value;
}

void put_string(std::string& to, std::string_view text) {
    to.append(text.substr(0, text.find('\0'))); // a NUL inside would end it
    to += '\0';
}

// The strings of a packet, each without its NUL; nothing if the last has none.
std::optional<std::vector<std::string>> strings_of(std::string_view data) {
    std::vector<std::string> out;
    while (!data.empty()) {
        std::size_t end = data.find('\0');
        if (end == data.npos)
            return std::nullopt;
        out.emplace_back(data.substr(0, end));
        data.remove_prefix(end + 1);
    }
    return out;
}

std::string without_brackets(std::string_view address) {
    address = base::trim(address);
    if (address.size() >= 2 && address.front() == '<' && address.back() == '>')
        address = address.substr(1, address.size() - 2);
    return std::string(address);
}

bool has_controls(std::string_view text) {
    return std::any_of(text.begin(), text.end(),
                       [](char c) { return static_cast<unsigned char>(c) < ' ' || c == '\x7f'; });
}

bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

} // namespace

milter_engine::milter_engine(milter_message about) : message_(std::move(about)), requested_macros_(stages) {
    std::string data;
    put_number(data, our_version);
    put_number(data, all_actions);
    put_number(data, all_protocol);
    send('O', data);
}

void milter_engine::send(char command, std::string_view data) {
    put_number(out_, static_cast<std::uint32_t>(data.size() + 1));
    out_ += command;
    out_ += data;
}

std::string milter_engine::take_output() {
    return std::exchange(out_, {});
}

void milter_engine::feed(std::span<const char> bytes) {
    in_.erase(0, std::exchange(used_, 0));
    in_.append(bytes.data(), bytes.size());
}

bool milter_engine::take_packet(packet& into) {
    std::string_view rest = std::string_view(in_).substr(used_);
    if (rest.size() < 5)
        return false;
    std::size_t size = number_at(rest, 0);
    if (size == 0 || size > longest_packet || rest.size() < 4 + size)
        return false;
    into.command = rest[4];
    into.data = rest.substr(5, size - 1);
    used_ += 4 + size;
    return true;
}

milter_todo milter_engine::next() {
    while (state_ != state::over) {
        if (!awaiting_) {
            milter_todo todo = advance();
            if (!std::holds_alternative<milter_action::read_more>(todo))
                return todo; // else the reply may be there already
        }
        std::string_view rest = std::string_view(in_).substr(used_);
        if (rest.size() >= 4 && (number_at(rest, 0) == 0 || number_at(rest, 0) > longest_packet))
            return fail("packet too long");
        packet reply;
        if (!take_packet(reply))
            return milter_action::read_more{};
        milter_todo todo = heard(reply);
        if (!std::holds_alternative<milter_action::read_more>(todo))
            return todo;
    }
    return milter_action::failed{"used after its end"};
}

milter_todo milter_engine::fail(std::string reason) {
    state_ = state::over;
    return milter_action::failed{"milter protocol error: " + std::move(reason)};
}

milter_todo milter_engine::finish(milter_outcome::verdict what, int code, std::string text) {
    send('Q', {});
    state_ = state::over;
    outcome_.what = what;
    outcome_.code = code;
    outcome_.text = std::move(text);
    if (what != milter_outcome::verdict::accept) {
        outcome_.edits.clear();
        outcome_.quarantine = outcome_.body_replaced = false;
    }
    return milter_action::finished{std::move(outcome_)};
}

// What was sent is answered, unless the milter has said that it will not.
bool milter_engine::sent(std::uint32_t no_reply_flag) {
    awaiting_ = no_reply_flag == 0 || wanted(no_reply_flag);
    return awaiting_;
}

// Sends what comes next, until there is something to wait for.
milter_todo milter_engine::advance() {
    const auto waiting = [] {
        return milter_action::read_more{};
    };
    for (;;) {
        std::string data;
        switch (state_) {
        case state::negotiating:
        case state::over:
            return fail("out of step");
        case state::connect: {
            state_ = state::helo;
            if (!wanted(no_connect))
                break;
            send_macros('C', at_connect);
            put_string(data, message_.client_name);
            data += message_.family;
            if (message_.family != 'U') {
                data += static_cast<char>(message_.port >> 8);
                data += static_cast<char>(message_.port & 0xffU);
                put_string(data, message_.address);
            }
            send('C', data);
            if (sent(no_reply_connect))
                return waiting();
            break;
        }
        case state::helo:
            state_ = state::mail;
            if (!wanted(no_helo))
                break;
            send_macros('H', at_helo);
            put_string(data, message_.helo);
            send('H', data);
            if (sent(no_reply_helo))
                return waiting();
            break;
        case state::mail:
            state_ = state::rcpt;
            if (!wanted(no_mail))
                break;
            send_macros('M', at_mail);
            put_string(data, "<" + message_.sender + ">");
            for (const std::string& parameter : message_.sender_parameters)
                put_string(data, parameter);
            send('M', data);
            if (sent(no_reply_mail))
                return waiting();
            break;
        case state::rcpt: {
            if (!wanted(no_rcpt) || at_ == message_.recipients.size()) {
                state_ = state::data;
                at_ = 0;
                break;
            }
            const std::string& recipient = message_.recipients[at_++];
            std::size_t at_sign = recipient.rfind('@');
            send_macros('R', at_rcpt,
                        {{"{rcpt_addr}", recipient},
                         {"{rcpt_host}", at_sign == recipient.npos ? "" : recipient.substr(at_sign + 1)},
                         {"{rcpt_mailer}", "smtp"}});
            put_string(data, "<" + recipient + ">");
            send('R', data);
            if (sent(no_reply_rcpt))
                return waiting();
            break;
        }
        case state::data:
            state_ = state::header;
            if (!wanted(no_data) || version_ < 4)
                break;
            send_macros('T', at_data);
            send('T', {});
            if (sent(no_reply_data))
                return waiting();
            break;
        case state::header: {
            if (!wanted(no_headers) || at_ == message_.headers.size()) {
                state_ = state::end_of_headers;
                break;
            }
            const milter_field& field = message_.headers[at_++];
            std::string_view value = field.value;
            // One only, as other mail servers do: for a signature of the header as it is the others count.
            if ((protocol_ & leading_space) == 0 && value.starts_with(' '))
                value.remove_prefix(1);
            put_string(data, field.name);
            put_string(data, value);
            send('L', data);
            if (sent(no_reply_header))
                return waiting();
            break;
        }
        case state::end_of_headers:
            state_ = state::body;
            if (!wanted(no_end_of_headers))
                break;
            send_macros('N', at_end_of_headers);
            send('N', {});
            if (sent(no_reply_end_of_headers))
                return waiting();
            break;
        case state::body:
            if (wanted(no_body) && !body_skipped_)
                return milter_action::supply_body{};
            state_ = state::end_of_message;
            break;
        case state::end_of_message:
            send_macros('E', at_end);
            send('E', {});
            sent(0);
            return waiting();
        }
    }
}

void milter_engine::body(std::span<const char> bytes) {
    if (state_ != state::body)
        return;
    send('B', {bytes.data(), bytes.size()});
    sent(no_reply_body);
}

void milter_engine::end_of_body() {
    if (state_ == state::body)
        state_ = state::end_of_message;
}

void milter_engine::send_macros(char command, std::size_t stage, const macros& more) {
    std::string data(1, command);
    const std::vector<std::string>& chosen = requested_macros_[stage];
    for (const macros* known : std::array<const macros*, 2>{&message_.all_macros, &more})
        for (const auto& [name, value] : *known)
            if (chosen.empty() || std::find(chosen.begin(), chosen.end(), name) != chosen.end()) {
                put_string(data, name);
                put_string(data, value);
            }
    send('D', data);
}

milter_todo milter_engine::heard(const packet& reply) {
    using verdict = milter_outcome::verdict;
    if (state_ == state::negotiating)
        return reply.command == 'O' ? heard_negotiation(reply.data) : fail("no negotiation");
    if (state_ == state::end_of_message && changes.find(reply.command) != changes.npos)
        return heard_change(reply);
    switch (reply.command) {
    case 'p': // progress
        return milter_action::read_more{};
    case 'c': // continue
        if (state_ == state::end_of_message)
            return finish(verdict::accept, 0, {});
        awaiting_ = false;
        return milter_action::read_more{};
    case 'a':
        return finish(verdict::accept, 0, {});
    case 'd':
        return finish(verdict::discard, 0, {});
    case 'r':
        return finish(verdict::reject, 550, "5.7.1 Command rejected");
    case 't':
        return finish(verdict::tempfail, 451, "4.7.1 Service unavailable - try again later");
    case '4': // shutdown
    case 'f': // connection failure
        return finish(verdict::tempfail, 451, "4.7.0 Service unavailable - try again later");
    case 'y':
        return refuse_with(reply.data);
    case 's': // skip the rest of the body
        if (state_ != state::body || (protocol_ & may_skip) == 0)
            return fail("skip out of place");
        body_skipped_ = true;
        awaiting_ = false;
        return milter_action::read_more{};
    default:
        return fail(fmt::format("unexpected reply {:#04x}", static_cast<unsigned char>(reply.command)));
    }
}

// "550 5.7.1 text", where lines may be several, a percent sign is doubled and only 4xx and 5xx count.
milter_todo milter_engine::refuse_with(std::string_view text) {
    text = text.substr(0, text.find('\0'));
    if (text.size() < 3 || (text[0] != '4' && text[0] != '5') || !is_digit(text[1]) || !is_digit(text[2]))
        return fail("reply without a code");
    int code = (text[0] - '0') * 100 + (text[1] - '0') * 10 + (text[2] - '0');
    std::string joined;
    for (std::string_view line : base::split(text, '\n')) {
        if (line.substr(0, 3) == text.substr(0, 3))
            line.remove_prefix(std::min<std::size_t>(4, line.size()));
        line = base::trim(line);
        joined += joined.empty() || line.empty() ? "" : " ";
        for (std::size_t i = 0; i < line.size(); ++i) {
            joined += line[i];
            if (line.substr(i, 2) == "%%")
                ++i;
        }
    }
    return finish(code < 500 ? milter_outcome::verdict::tempfail : milter_outcome::verdict::reject, code,
                  std::move(joined));
}

milter_todo milter_engine::heard_negotiation(std::string_view data) {
    if (data.size() < 12)
        return fail("negotiation too short");
    version_ = number_at(data, 0);
    actions_ = number_at(data, 4);
    protocol_ = number_at(data, 8);
    if (version_ < 2 || version_ > our_version)
        return fail(fmt::format("version {}", version_));
    if ((actions_ & ~std::uint32_t{all_actions}) != 0)
        return fail(fmt::format("unknown actions {:#x}", actions_));
    if ((protocol_ & ~std::uint32_t{all_protocol}) != 0)
        return fail(fmt::format("unknown protocol flags {:#x}", protocol_));
    data.remove_prefix(12);
    while (data.size() > 4) {
        std::uint32_t stage = number_at(data, 0);
        std::size_t end = data.find('\0', 4);
        if (end == data.npos)
            return fail("macro list without an end");
        if (stage < stages)
            for (std::string& name : base::split(data.substr(4, end - 4), ' '))
                if (!name.empty())
                    requested_macros_[stage].push_back(std::move(name));
        data.remove_prefix(end + 1);
    }
    state_ = state::connect;
    awaiting_ = false;
    return milter_action::read_more{};
}

// At the end of the message; read_more: noted, and there may be more.
milter_todo milter_engine::heard_change(const packet& reply) {
    if (reply.command == 'b') {
        if (!allowed(may_change_body))
            return fail("body replaced without being negotiated");
        outcome_.body_replaced = true;
        return milter_action::replace_body{{reply.data.data(), reply.data.size()}};
    }
    if (reply.command == 'q') {
        if (!allowed(may_quarantine))
            return fail("quarantine without being negotiated");
        outcome_.quarantine = true;
        outcome_.quarantine_reason = std::string(reply.data.substr(0, reply.data.find('\0')));
        return milter_action::read_more{};
    }
    if (outcome_.edits.size() >= most_edits)
        return fail("too many changes");
    if (!note_edit(reply))
        return fail(fmt::format("bad change '{}'", reply.command));
    return milter_action::read_more{};
}

std::string milter_engine::with_space(const std::string& value) const {
    return (protocol_ & leading_space) != 0 || value.empty() ? value : " " + value;
}

bool milter_engine::note_edit(const packet& reply) {
    using kind = milter_edit::kind;
    const bool is_numbered = reply.command == 'i' || reply.command == 'm';
    if (is_numbered && reply.data.size() < 4)
        return false;
    const std::uint32_t index = is_numbered ? number_at(reply.data, 0) : 0;
    auto strings = strings_of(reply.data.substr(is_numbered ? 4 : 0));
    if (!strings || strings->empty())
        return false;
    std::vector<std::string>& s = *strings;
    const auto header = [&](kind what, std::uint32_t right) {
        if (!allowed(right) || s.size() != 2 || !mail::is_field_name(s[0]))
            return false;
        outcome_.edits.push_back({what, index, std::move(s[0]), with_space(s[1])});
        return true;
    };
    const auto address = [&](kind what, std::uint32_t right, std::size_t most_strings) {
        std::string plain = without_brackets(s[0]);
        bool empty_is_good = what == kind::change_sender;
        if (!allowed(right) || s.size() > most_strings || has_controls(plain) ||
            (plain.empty() && !empty_is_good))
            return false;
        outcome_.edits.push_back({what, 0, std::move(plain), {}});
        return true;
    };
    switch (reply.command) {
    case 'h':
        return header(kind::add_header, may_add_headers);
    case 'i':
        return header(kind::insert_header, may_add_headers);
    case 'm':
        return header(kind::change_header, may_change_headers);
    case '+':
        return address(kind::add_recipient, may_add_recipients, 1);
    case '2':
        return address(kind::add_recipient, may_add_recipients_with_parameters, 2);
    case '-':
        return address(kind::delete_recipient, may_delete_recipients, 1);
    default:
        return address(kind::change_sender, may_change_sender, 2);
    }
}

namespace {

// The `wanted`th field of that name, from 1, behind the hidden ones; count() if there are not so many.
std::size_t find_field(const mail::header_section& in, std::size_t hidden, std::string_view name,
                       std::uint32_t wanted) {
    std::uint32_t seen = 0;
    for (std::size_t i = hidden; i < in.fields().size(); ++i)
        if (in.fields()[i].is(name) && ++seen == wanted)
            return i;
    return in.fields().size();
}

} // namespace

void apply(const std::vector<milter_edit>& edits, std::size_t hidden, mail::header_section& to) {
    using kind = milter_edit::kind;
    for (const milter_edit& edit : edits) {
        std::string field = field_in_message({edit.name, edit.value});
        const std::size_t count = to.fields().size();
        if (edit.what == kind::add_header) {
            to.insert(count, std::move(field));
        } else if (edit.what == kind::insert_header) {
            // A server without a field of its own begins to count behind where that would be.
            std::size_t at = hidden != 0 || edit.index == 0 ? edit.index : edit.index - 1;
            if (at < hidden)
                ++hidden;
            to.insert(at, std::move(field));
        } else if (edit.what == kind::change_header) {
            std::size_t at = find_field(to, hidden, edit.name, std::max<std::uint32_t>(edit.index, 1));
            if (at == count) {
                if (!edit.value.empty())
                    to.insert(at, std::move(field));
            } else if (edit.value.empty()) {
                to.remove(at);
            } else {
                to.replace(at, std::move(field));
            }
        }
    }
}

} // namespace filter
