// Any command line with any environment and any configuration file: every answer is either a usable
// configuration or a text to print.
//
// Input: words, one a line, up to an empty line; the rest is the text of every file that is asked for. Words
// of the form EMAILRELAY_PORT=25 are the environment.
#include "config/configuration.hpp"
#include "support.hpp"

#include "base/text.hpp"
#include "mail/idn.hpp"

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

namespace {

bool is_printable(std::string_view text) {
    for (char c : text)
        if (c != '\n' && (static_cast<unsigned char>(c) < ' ' || c == '\x7f'))
            return false;
    return true;
}

void check(const config::ending& end) {
    require(end.exit_code == 0 || end.exit_code == 1);
    require(end.exit_code == 0 ? end.err.empty() && !end.out.empty() : end.out.empty() && !end.err.empty());
    const std::string& text = end.exit_code == 0 ? end.out : end.err;
    require(text.ends_with('\n') && is_printable(text));
}

void check(const config::configuration& found) {
    require(!found.instances.empty());
    for (const std::string& text : found.warnings)
        require(is_printable(text) && text.find('\n') == text.npos);
    for (const config::instance& one : found.instances) {
        require(one.spool_dir.empty() || one.spool_dir.front() == '/');
        require(!one.port.empty() && one.port.find_first_not_of("0123456789") == one.port.npos);
        require(!one.forward_at_start || !one.forward_to.empty());
        require(one.name.find('-') == one.name.npos);
    }
    require(found.whole.pid_file.empty() || found.whole.pid_file.front() == '/');
    require(found.whole.verbose >= 0 && found.whole.verbose <= 2);
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string input(data, data + size);
    const std::size_t gap = std::min(input.find("\n\n"), input.size());
    const std::string file = input.substr(std::min(gap + 2, input.size()));
    std::vector<std::string> words;
    std::map<std::string, std::string> environment;
    for (const std::string& word : base::split(std::string_view(input).substr(0, gap), '\n')) {
        const std::size_t sign = word.find('=');
        if (word.starts_with("EMAILRELAY_") && sign != std::string::npos)
            environment[word.substr(0, sign)] = word.substr(sign + 1);
        else
            words.push_back(word);
    }

    config::surroundings around;
    around.start_directory = "/start";
    around.read_file = [&](const std::string&) {
        return std::optional(file);
    };
    around.look_at = [](const std::string& path) {
        return path.size() % 2 == 0 ? config::surroundings::file_kind::missing
                                    : config::surroundings::file_kind::directory;
    };
    around.variable = [&](const std::string& name) {
        const auto found = environment.find(name);
        return found == environment.end() ? std::nullopt : std::optional(found->second);
    };
    around.to_a_labels = mail::to_a_labels;
    around.on = size % 2 == 0 ? config::platform::posix : config::platform::windows;
    std::visit([](const auto& answer) { check(answer); }, config::read_configuration(words, around));
    return 0;
}
