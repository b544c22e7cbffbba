// A tokenizer that swallows blanks, folds and comments, and one pass over the tokens. Where the grammar is
// ambiguous until later ("a.b" is the beginning of an address or of a name), words are gathered first and
// judged by what follows them.
#include "mail/address_list.hpp"

#include "base/text.hpp"

#include <algorithm>

namespace mail {

namespace {

struct token {
    enum class type { end, word, quoted, literal, special, wrong };
    type what = type::end;
    char special = 0;
    std::string
        text{}; // of a word; of a quoted string without quotes and escapes; of a literal with brackets
    std::size_t line = 0; // where it begins

    bool is(char c) const { return what == type::special && special == c; }
};

bool is_blank(char c) {
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

// RFC 5322 atext, and all of RFC 6532's.
bool is_atom_character(char c) {
    constexpr std::string_view others = "!#$%&'*+-/=?^_`{|}~";
    const auto octet = static_cast<unsigned char>(c);
    return octet >= 0x80 || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           others.find(c) != others.npos;
}

bool is_control(char c) {
    const auto octet = static_cast<unsigned char>(c);
    return octet < ' ' || octet == 0x7f;
}

class tokenizer {
public:
    explicit tokenizer(std::string_view text) : text_(text) {}

    token next() {
        if (!skip_blanks_and_comments())
            return {.what = token::type::wrong, .line = line_};
        if (at_ == text_.size())
            return {.what = token::type::end, .line = line_};
        const char c = text_[at_];
        if (c == '"')
            return delimited('"', token::type::quoted);
        if (c == '[')
            return delimited(']', token::type::literal);
        if (is_atom_character(c))
            return word();
        ++at_;
        constexpr std::string_view specials = "<>:;,@.";
        if (specials.find(c) == specials.npos)
            return {.what = token::type::wrong, .line = line_};
        return {.what = token::type::special, .special = c, .line = line_};
    }

private:
    // False if a comment has no end.
    bool skip_blanks_and_comments() {
        std::size_t depth = 0;
        for (; at_ < text_.size(); ++at_) {
            const char c = text_[at_];
            if (c == '\n')
                ++line_;
            if (c == '(')
                ++depth;
            else if (depth == 0 && !is_blank(c))
                return true;
            else if (c == ')')
                --depth;
            else if (c == '\\' && at_ + 1 < text_.size())
                at_ += text_[at_ + 1] == '\n' ? 0 : 1; // the line end still counts
        }
        return depth == 0;
    }

    token word() {
        const std::size_t begin = at_;
        while (at_ < text_.size() && is_atom_character(text_[at_]))
            ++at_;
        return {
            .what = token::type::word, .text = std::string(text_.substr(begin, at_ - begin)), .line = line_};
    }

    token delimited(char last, token::type what) {
        token found{.what = what, .line = line_};
        ++at_;
        for (; at_ < text_.size(); ++at_) {
            char c = text_[at_];
            if (c == last) {
                ++at_;
                if (what == token::type::literal)
                    found.text = '[' + found.text + ']';
                return found;
            }
            if (c == '\r' || c == '\n') { // a fold is no part of the string
                line_ += c == '\n';
                continue;
            }
            if (c == '\\' && last == '"' && at_ + 1 < text_.size() && text_[at_ + 1] != '\r' &&
                text_[at_ + 1] != '\n')
                c = text_[++at_];
            found.text += c;
        }
        return {.what = token::type::wrong, .line = found.line}; // it has no end
    }

    std::string_view text_;
    std::size_t at_ = 0;
    std::size_t line_ = 0;
};

bool is_dot_atom(std::string_view local) {
    return !local.empty() && local.front() != '.' && local.back() != '.' && local.find("..") == local.npos &&
           std::all_of(local.begin(), local.end(), [](char c) { return c == '.' || is_atom_character(c); });
}

std::string quoted(std::string_view local) {
    std::string text = "\"";
    for (char c : local) {
        if (c == '"' || c == '\\')
            text += '\\';
        text += c;
    }
    return text + '"';
}

class list_parser {
public:
    explicit list_parser(std::string_view text) : tokens_(text) { advance(); }

    address_list parse() {
        bool good = true;
        while (good && now_.what != token::type::end)
            good = take_element();
        if (good && in_group_)
            good = false;
        if (good)
            return {std::move(found_), std::nullopt};
        return {{}, now_.line};
    }

private:
    void advance() { now_ = tokens_.next(); }
    bool skip(char special) {
        if (!now_.is(special))
            return false;
        advance();
        return true;
    }

    // One address, group name, end of a group or empty element, with the separator behind it.
    bool take_element() {
        if (skip(','))
            return true;
        if (in_group_ && skip(';')) {
            in_group_ = false;
            return skip(',') || now_.what == token::type::end;
        }
        gather_words();
        if (!in_group_ && !words_.empty() && skip(':')) {
            in_group_ = true;
            return true;
        }
        if (!take_address())
            return false;
        return skip(',') || now_.what == token::type::end || (in_group_ && now_.is(';'));
    }

    void gather_words() {
        words_.clear();
        while (now_.what == token::type::word || now_.what == token::type::quoted || now_.is('.')) {
            words_.push_back(std::move(now_));
            advance();
        }
    }

    // What stands before was gathered: a name in front of "<", else a local part.
    bool take_address() {
        if (skip('<')) {
            skip_route();
            gather_words();
            return take_mailbox() && skip('>');
        }
        return take_mailbox();
    }

    // "@one,@two:" in front of the address (obs-route).
    void skip_route() {
        while (now_.is('@') || now_.is(',')) {
            if (skip(','))
                continue;
            advance();
            std::string domain;
            if (!take_domain(domain))
                return; // what stands here is no address either
        }
        skip(':');
    }

    bool take_mailbox() {
        std::string local, domain;
        if (!join_local_part(local))
            return false;
        if (skip('@')) {
            if (!take_domain(domain))
                return false;
            domain.insert(0, 1, '@');
        }
        std::string mailbox = (is_dot_atom(local) ? std::move(local) : quoted(local)) + domain;
        if (!base::is_utf8(mailbox) || std::any_of(mailbox.begin(), mailbox.end(), is_control))
            return false;
        found_.push_back(std::move(mailbox));
        return true;
    }

    // Words with dots between them. Dots side by side or at an end are not allowed but occur in real
    // addresses; the result is quoted then.
    bool join_local_part(std::string& local) const {
        if (std::all_of(words_.begin(), words_.end(), [](const token& t) { return t.is('.'); }))
            return false;
        bool after_word = false;
        for (const token& t : words_) {
            const bool is_word = !t.is('.');
            if (is_word && after_word)
                return false;
            local += is_word ? t.text : ".";
            after_word = is_word;
        }
        return true;
    }

    bool take_domain(std::string& domain) {
        if (now_.what == token::type::literal) {
            domain = std::move(now_.text);
            advance();
            return domain.find_first_of(" \t[\\", 1) == domain.npos;
        }
        for (;;) {
            if (now_.what != token::type::word)
                return false;
            domain += now_.text;
            advance();
            if (!skip('.'))
                return true;
            domain += '.';
        }
    }

    tokenizer tokens_;
    token now_;
    std::vector<token> words_;
    std::vector<std::string> found_;
    bool in_group_ = false;
};

} // namespace

address_list parse_address_list(std::string_view text) {
    return list_parser(text).parse();
}

} // namespace mail
