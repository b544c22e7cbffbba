#include "submit/sendmail_options.hpp"

#include "base/text.hpp"
#include "mail/address_list.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <span>

namespace submit {

namespace {

constexpr std::string_view flags = "EGIUcimnstvx";
constexpr std::string_view with_value = "ABCDFLMNORVXbefhopr";
constexpr std::string_view with_glued_value = "dqQ"; // the next word is never theirs

std::string after_equals(std::string_view text) {
    const std::size_t equals = text.find('=');
    return equals == text.npos ? std::string() : std::string(base::trim(text.substr(equals + 1)));
}

bool is_notify_list(std::string_view value) {
    if (base::iequals(value, "never"))
        return true;
    for (const std::string& item : base::split(value, ','))
        if (!base::iequals(item, "success") && !base::iequals(item, "failure") &&
            !base::iequals(item, "delay"))
            return false;
    return true;
}

class reader {
public:
    reader(std::string_view called_as, const std::vector<std::string>& words) : rest_(words) {
        if (called_as == "mailq")
            found_.what = sendmail_options::mode::list_queue;
        else if (called_as == "newaliases")
            found_.what = sendmail_options::mode::aliases;
    }

    sendmail_options read() {
        while (!found_.wrong && !rest_.empty()) {
            const std::string& word = rest_.front();
            if (word.size() < 2 || word[0] != '-')
                break;
            rest_ = rest_.subspan(1);
            if (word == "--")
                break;
            read_letters(std::string_view(word).substr(1));
        }
        for (const std::string& word : rest_)
            if (!found_.wrong)
                add_recipients(word);
        return std::move(found_);
    }

private:
    void fail(exit_status status, std::string text) { found_.wrong = {status, std::move(text)}; }

    void read_letters(std::string_view letters) {
        while (!letters.empty() && !found_.wrong) {
            const char letter = letters.front();
            letters.remove_prefix(1);
            if (flags.find(letter) != flags.npos) {
                set_flag(letter);
            } else if (with_glued_value.find(letter) != with_glued_value.npos) {
                set_value(letter, letters);
                return;
            } else if (with_value.find(letter) != with_value.npos) {
                if (letters.empty() && rest_.empty())
                    return fail(ex_usage, fmt::format("option needs a value: -{}", letter));
                const std::string_view value = letters.empty() ? rest_.front() : letters;
                if (letters.empty())
                    rest_ = rest_.subspan(1);
                set_value(letter, value);
                return;
            } else {
                return fail(ex_usage,
                            fmt::format("invalid option: -{}", base::printable_ascii({&letter, 1})));
            }
        }
    }

    void set_flag(char letter) {
        if (letter == 'i')
            found_.dot_ends = false;
        else if (letter == 't')
            found_.recipients_in_header = true;
        else if (letter == 'I')
            found_.what = sendmail_options::mode::aliases;
    }

    void set_value(char letter, std::string_view value) {
        switch (letter) {
        case 'b':
            return set_mode(value);
        case 'f':
        case 'r':
            return set_sender(value);
        case 'F':
            found_.full_name = value;
            return;
        case 'B':
            return set_body(value);
        case 'N':
            if (!is_notify_list(value))
                fail(ex_usage, fmt::format("invalid value of -N: {}", base::printable(value)));
            return;
        case 'R':
            if (!base::iequals(value, "full") && !base::iequals(value, "hdrs"))
                fail(ex_usage, fmt::format("invalid value of -R: {}", base::printable(value)));
            return;
        case 'V':
            if (!base::xtext_decode(value))
                fail(ex_usage, fmt::format("invalid value of -V: {}", base::printable(value)));
            return;
        case 'o':
            return set_short_option(value);
        case 'O':
            return set_long_option(value);
        case 'q':
            return fail(ex_unavailable, "the relay itself sends what is in the spool: see its options --poll "
                                        "and --forward-on-disconnect");
        default:
            return;
        }
    }

    void set_mode(std::string_view value) {
        using mode = sendmail_options::mode;
        if (value == "m")
            found_.what = mode::deliver;
        else if (value == "s")
            found_.what = mode::smtp;
        else if (value == "p")
            found_.what = mode::list_queue;
        else if (value == "i")
            found_.what = mode::aliases;
        else
            fail(ex_usage, fmt::format("mode not supported: -b{}", base::printable(value)));
    }

    void set_sender(std::string_view value) {
        const std::string_view trimmed = base::trim(value);
        if (trimmed.empty() || trimmed == "<>") {
            found_.from = "";
            return;
        }
        mail::address_list list = mail::parse_address_list(value);
        if (list.mailboxes.size() == 1)
            found_.from = std::move(list.mailboxes.front());
        else
            fail(ex_dataerr, fmt::format("invalid sender address: [{}]", base::printable(value)));
    }

    void set_body(std::string_view value) {
        found_.body = mail::body_type_of(value);
        if (found_.body != mail::body_type::seven_bit && found_.body != mail::body_type::eight_bit)
            fail(ex_usage, fmt::format("invalid value of -B: {}", base::printable(value)));
    }

    // -oi, -oQ/dir
    void set_short_option(std::string_view value) {
        if (value == "i" || value == "iTrue" || value == "itrue")
            found_.dot_ends = false;
        else if (value.starts_with('Q'))
            found_.spool_dir = value.substr(1);
    }

    // -OIgnoreDots=True, -O QueueDirectory=/dir
    void set_long_option(std::string_view value) {
        const std::string name = base::to_lower(base::trim(value.substr(0, value.find('='))));
        const std::string setting = after_equals(value);
        if (name == "ignoredots" && !setting.empty())
            found_.dot_ends = base::to_lower(setting)[0] != 't' && base::to_lower(setting)[0] != 'y';
        else if (name == "queuedirectory")
            found_.spool_dir = setting;
    }

    void add_recipients(const std::string& word) {
        mail::address_list list = mail::parse_address_list(word);
        if (list.wrong_line || list.mailboxes.empty())
            return fail(ex_dataerr, fmt::format("invalid recipient address: [{}]", base::printable(word)));
        std::move(list.mailboxes.begin(), list.mailboxes.end(), std::back_inserter(found_.recipients));
    }

    std::span<const std::string> rest_;
    sendmail_options found_;
};

} // namespace

sendmail_options read_sendmail_options(std::string_view called_as, const std::vector<std::string>& words) {
    return reader(called_as, words).read();
}

} // namespace submit
