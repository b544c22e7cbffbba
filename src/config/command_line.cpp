// The words of the command line (spec/command-line.md section 3.1).

#include "base/text.hpp"
#include "base/translation.hpp"
#include "config/settings.hpp"

#include <span>

namespace config {

namespace {

class word_reader {
public:
    word_reader(const std::vector<std::string>& words, const vocabulary& known)
        : rest_(words), known_(known) {}

    command_line read() {
        while (!rest_.empty()) {
            const std::string& word = take();
            if (word == "--")
                break;
            if (word.size() < 2 || word[0] != '-') {
                rest_ = {&word, rest_.size() + 1};
                break;
            }
            if (word[1] == '-')
                read_long(word);
            else
                read_letters(word);
        }
        result_.rest.assign(rest_.begin(), rest_.end());
        return std::move(result_);
    }

private:
    const std::string& take() {
        const std::string& word = rest_.front();
        rest_ = rest_.subspan(1);
        return word;
    }

    void read_long(std::string_view word) {
        const std::size_t equals = word.find('=');
        const std::string_view name = word.substr(2, equals == std::string_view::npos ? equals : equals - 2);
        if (equals != std::string_view::npos) {
            result_.given.add_long(name, std::string(word.substr(equals + 1)), known_);
            return;
        }
        const option* row = find_long_name(name, known_).row;
        const bool next_is_value =
            row && (row->takes == value_kind::one || row->takes == value_kind::list) && !rest_.empty();
        if (!next_is_value) {
            result_.given.add_long(name, std::nullopt, known_);
            return;
        }
        const std::string& value = take();
        if (value.starts_with('-'))
            result_.given.errors.push_back(
                base::tr_format("\"--{0} {1}\" is probably a mistake, use \"--{0}=... {1}\" or \"--{0}={1}\"",
                                name, base::printable(value)));
        else
            result_.given.add_long(name, value, known_);
    }

    void read_letters(std::string_view word) {
        const std::string_view letters = word.substr(1);
        for (std::size_t i = 0; i < letters.size(); ++i) {
            const option* row = known_.find(letters[i]);
            if (!row) {
                // A letter that is not ASCII is shown whole, together with what follows it.
                const bool is_ascii = base::is_ascii(letters.substr(i, 1));
                const std::string_view shown = letters.substr(i, is_ascii ? 1 : letters.npos);
                result_.given.errors.push_back(
                    base::tr_format("invalid option: \"{}\"", "-" + base::printable(shown)));
                if (!is_ascii)
                    return;
                continue;
            }
            const bool takes_value = row->takes == value_kind::one || row->takes == value_kind::list;
            setting use{.row = row, .by_letter = true};
            if (takes_value && letters.size() == 1 && !rest_.empty())
                use.value = take();
            result_.given.add(std::move(use));
            if (takes_value)
                return; // what is glued to the letter was meant as its value
        }
    }

    std::span<const std::string> rest_;
    const vocabulary& known_;
    command_line result_;
};

} // namespace

command_line read_words(const std::vector<std::string>& words, const vocabulary& known) {
    return word_reader(words, known).read();
}

} // namespace config
