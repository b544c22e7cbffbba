// Writing and reading of envelope text (spec/spool.md sections 4 to 6).
//
// Whatever a value holds, it cannot make a line of its own: addresses, mailbox and account names are written
// as one line, every CR, LF and NUL in them as '?' (none of the three can occur in a valid one, so nothing
// that could be delivered is changed); xtext fields encode them; the certificate is folded. The reader
// applies the same rule, so that a value from a foreign file cannot smuggle a command into the SMTP dialogue
// either. Values lose the blanks at both ends.
//
// Memory is bounded by the size of the text: no count in it is believed.
#include "mail/envelope.hpp"

#include "base/text.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <iterator>
#include <utility>

namespace mail {

namespace {

constexpr std::string_view prefix = "X-MailRelay-";
constexpr std::string_view to_local_prefix = "X-MailRelay-To-Local: ";
constexpr std::string_view to_remote_prefix = "X-MailRelay-To-Remote: ";
constexpr std::string_view end_prefix = "X-MailRelay-End";
constexpr std::string_view next_best_prefix = "X-MailRelay-ForwardToNextBest:";
constexpr std::size_t most_next_best = 50;
constexpr std::string_view format_prefix = "#2821.";
constexpr std::string_view newest_format = "#2821.8";

constexpr std::array<std::pair<body_type, std::string_view>, 4> content_words{{
    {body_type::unknown, "unknown"},
    {body_type::seven_bit, "7bit"},
    {body_type::eight_bit, "8bit"},
    {body_type::binary_mime, "binarymime"},
}};

std::string_view content_word(body_type content) {
    for (auto [type, word] : content_words)
        if (type == content)
            return word;
    return content_words.front().second;
}

body_type content_of_word(std::string_view word) {
    for (auto [type, known] : content_words)
        if (known == word)
            return type;
    return body_type::unknown;
}

std::string one_line(std::string_view value) {
    std::string out(base::trim(value));
    std::replace_if(
        out.begin(), out.end(), [](char c) { return c == '\r' || c == '\n' || c == '\0'; }, '?');
    return out;
}

std::string plain_certificate(std::string_view value) {
    std::string out(value);
    std::erase(out, '\r');
    std::replace(out.begin(), out.end(), '\0', '?');
    return std::string(base::trim(out));
}

// A lone '+' is no xtext but allowed in the file; it must stay distinct from an empty value, because the
// client then says AUTH=<> (spec/smtp-client.md).
std::string normal_xtext(std::string_view value) {
    return value == "+" ? std::string(value) : base::xtext_encode(base::xtext_decode_leniently(value));
}

bool is_auth_value(std::string_view value) {
    return value.empty() || value == "+" || base::xtext_decode(value);
}

std::string_view trim_right(std::string_view line) {
    return line.substr(0, line.find_last_not_of(" \t\r\n\v\f") + 1);
}

// ---- writing

void put(std::string& out, std::string_view name, std::string_view value) {
    out.append(prefix).append(name).append(": ").append(value).append("\r\n");
}

void put_folded(std::string& out, std::string_view name, std::string_view value) {
    std::string folded;
    folded.reserve(value.size() + value.size() / 32);
    for (char c : value) {
        if (c == '\n')
            folded += "\r\n ";
        else
            folded += c;
    }
    put(out, name, folded);
}

// ---- reading

// Lines end with LF, a CR before it belongs to the end. Scripts that replace a line in place easily drop one
// CR of a CR-LF file, so a mixture is read too, and remembered.
class line_reader {
public:
    explicit line_reader(std::string_view text) : rest_(text) {
        std::size_t end = text.find('\n');
        crlf_ = end == std::string_view::npos || (end > 0 && text[end - 1] == '\r');
        split();
    }

    bool crlf() const { return crlf_; }
    bool mixed() const { return mixed_; } // a line taken so far ended with LF in a CR-LF text
    bool at_end() const { return at_end_; }
    std::string_view line() const { return line_; }

    void take() {
        mixed_ = mixed_ || (crlf_ && bare_lf_);
        split();
    }

private:
    void split() {
        at_end_ = rest_.empty();
        std::size_t end = rest_.find('\n');
        line_ = rest_.substr(0, end);
        rest_.remove_prefix(end == std::string_view::npos ? rest_.size() : end + 1);
        bool cr = line_.ends_with('\r');
        bare_lf_ = end != std::string_view::npos && !cr;
        if (cr)
            line_.remove_suffix(1);
    }

    std::string_view rest_;
    std::string_view line_;
    bool crlf_ = true;
    bool mixed_ = false;
    bool bare_lf_ = false;
    bool at_end_ = false;
};

// Reads field by field in the order of the file. After the first failure it reads nothing more and all values
// are empty, so the caller looks at the failure once, at the end.
class envelope_reader {
public:
    explicit envelope_reader(std::string_view text) : lines_(text) {}

    base::result<parsed_envelope> read() {
        int format = read_format();
        read_addressing();
        read_client(format);
        read_end();
        if (!failure_.empty())
            return base::error{{}, "cannot read envelope file: " + failure_};
        return std::move(parsed_);
    }

private:
    void fail(std::string why) {
        if (failure_.empty())
            failure_ = std::move(why);
    }

    // Text of the file as part of an error, which becomes one log line of bearable length.
    static std::string shown(std::string_view value) { return base::printable(value.substr(0, 80)); }

    std::string field(std::string_view name) {
        if (!failure_.empty())
            return {};
        std::string start = std::string(prefix).append(name) + ':';
        std::string_view line = lines_.line();
        if (lines_.at_end() || !line.starts_with(start) ||
            (line.size() > start.size() && line[start.size()] != ' ')) {
            fail("expected \"" + start + '"');
            return {};
        }
        std::string value(line.substr(start.size()));
        for (lines_.take(); lines_.line().starts_with(' ') || lines_.line().starts_with('\t'); lines_.take())
            value.append(1, '\n').append(lines_.line().substr(1));
        return std::string(base::trim(value));
    }

    std::string line_field(std::string_view name) { return one_line(field(name)); }

    std::string auth_field(std::string_view name, std::string_view name_in_error) {
        std::string value = field(name);
        if (!is_auth_value(value))
            fail("invalid " + std::string(name_in_error) + " encoding");
        return normal_xtext(value);
    }

    int read_format() {
        std::string id = field("Format");
        bool known = id.size() == format_prefix.size() + 1 && id.starts_with(format_prefix) &&
                     id.back() >= '3' && id.back() <= '8';
        if (!known) {
            fail("unknown format id: " + shown(id));
            return 0;
        }
        return id.back() - '0';
    }

    void read_addressing() {
        envelope& e = parsed_.value;
        e.content = content_of_word(field("Content"));
        e.from = line_field("From");
        std::string count = field("ToCount");
        auto expected = base::to_number(count);
        if (!expected)
            fail("invalid recipient count: " + shown(count));
        for (std::uint64_t i = 0; failure_.empty() && i < *expected; ++i)
            read_recipient();
        e.authentication = base::xtext_decode_leniently(field("Authentication"));
        e.client = line_field("Client");
    }

    void read_recipient() {
        std::string_view line = lines_.line();
        if (!lines_.at_end() && line.starts_with(to_local_prefix))
            parsed_.value.to_local.push_back(one_line(line.substr(to_local_prefix.size())));
        else if (!lines_.at_end() && line.starts_with(to_remote_prefix))
            parsed_.value.to_remote.push_back(one_line(line.substr(to_remote_prefix.size())));
        else
            return fail("bad 'to' line");
        lines_.take();
    }

    // What stands between Client and End depends on the format (table in spec/spool.md section 4).
    void read_client(int format) {
        envelope& e = parsed_.value;
        if (format == 4)
            field("ClientName"); // of no use since
        if (format >= 4)
            e.client_certificate = plain_certificate(field("ClientCertificate"));
        if (format >= 5) {
            e.mail_from_auth_in = auth_field("MailFromAuthIn", "mail-from-auth-in");
            e.mail_from_auth_out = auth_field("MailFromAuthOut", "mail-from-auth-out");
        }
        if (format >= 6) {
            e.forward_to = base::xtext_decode_leniently(field("ForwardTo"));
            e.forward_to_address = line_field("ForwardToAddress");
        }
        if (format >= 8)
            e.client_account_selector = line_field("ClientAccountSelector");
        if (format >= 7)
            e.utf8_mailboxes = field("Utf8MailboxNames") == "1";
    }

    void read_end() {
        if (!failure_.empty())
            return;
        if (lines_.at_end() || !lines_.line().starts_with(end_prefix))
            return fail("no end line");
        lines_.take();
        parsed_.crlf = lines_.crlf();
        bool mixed = lines_.mixed();
        for (; !lines_.at_end(); lines_.take()) {
            // Older programs wrote a bare LF inside an address as it came: the sender could then have written
            // a whole envelope. Of that the true end line is left over.
            if (mixed && lines_.line().starts_with(end_prefix))
                return fail("more than one end line");
            if (lines_.line().starts_with(next_best_prefix))
                read_next_best(lines_.line().substr(next_best_prefix.size()));
            else
                parsed_.extra.emplace_back(trim_right(lines_.line()));
        }
    }

    void read_next_best(std::string_view value) {
        std::vector<std::string> addresses = base::split(one_line(value), ' ');
        std::erase(addresses, "");
        if (addresses.empty() || addresses.front() != parsed_.value.forward_to_address)
            return;
        addresses.resize(std::min(addresses.size(), most_next_best + 1));
        parsed_.value.next_best.assign(addresses.begin() + 1, addresses.end());
    }

    line_reader lines_;
    parsed_envelope parsed_;
    std::string failure_;
};

} // namespace

std::string format_envelope(const envelope& e) {
    std::string out;
    out.reserve(1024 + 64 * e.to_remote.size() + e.client_certificate.size());
    put(out, "Format", newest_format);
    put(out, "Content", content_word(e.content));
    put(out, "From", one_line(e.from));
    put(out, "ToCount", std::to_string(e.to_local.size() + e.to_remote.size()));
    for (const std::string& mailbox : e.to_local)
        out.append(to_local_prefix).append(one_line(mailbox)).append("\r\n");
    for (const std::string& address : e.to_remote)
        out.append(to_remote_prefix).append(one_line(address)).append("\r\n");
    put(out, "Authentication", base::xtext_encode(e.authentication));
    put(out, "Client", one_line(e.client));
    put_folded(out, "ClientCertificate", plain_certificate(e.client_certificate));
    put(out, "MailFromAuthIn", normal_xtext(e.mail_from_auth_in));
    put(out, "MailFromAuthOut", normal_xtext(e.mail_from_auth_out));
    put(out, "ForwardTo", base::xtext_encode(e.forward_to));
    put(out, "ForwardToAddress", one_line(e.forward_to_address));
    put(out, "ClientAccountSelector", one_line(e.client_account_selector));
    put(out, "Utf8MailboxNames", e.utf8_mailboxes ? "1" : "0");
    put(out, "End", "1");
    if (!e.next_best.empty()) {
        std::string addresses = e.forward_to_address;
        for (const std::string& address : e.next_best)
            addresses.append(1, ' ').append(address);
        put(out, "ForwardToNextBest", one_line(addresses));
    }
    return out;
}

base::result<parsed_envelope> parse_envelope(std::string_view text) {
    return envelope_reader(text).read();
}

std::string format_reason(std::string_view reason, std::optional<int> code, bool crlf) {
    std::string_view end = crlf ? "\r\n" : "\n";
    std::string out;
    out.append("X-MailRelay-Reason: ").append(base::printable_ascii(reason)).append(end);
    out.append("X-MailRelay-ReasonCode:");
    if (code)
        out.append(1, ' ').append(std::to_string(*code));
    return out.append(end);
}

std::string rewrite_envelope(const envelope& e, const std::vector<std::string>& extra) {
    std::string out = format_envelope(e);
    for (const std::string& line : extra) {
        std::string_view kept = trim_right(line);
        std::transform(kept.begin(), kept.end(), std::back_inserter(out),
                       [](char c) { return c == '\n' ? '?' : c; });
        out.append("\r\n");
    }
    return out;
}

body_type body_type_of(std::string_view body_parameter) {
    if (base::iequals(body_parameter, "7BIT"))
        return body_type::seven_bit;
    if (base::iequals(body_parameter, "8BITMIME"))
        return body_type::eight_bit;
    if (base::iequals(body_parameter, "BINARYMIME"))
        return body_type::binary_mime;
    return body_type::unknown;
}

} // namespace mail
