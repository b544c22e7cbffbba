// emailrelay: from the words of the command line to a running program or a printed answer.
#include "main/check_configuration.hpp"
#include "main/program.hpp"

#include "base/text.hpp"
#include "config/configuration.hpp"
#include "mail/idn.hpp"
#include "os/process.hpp"
#include "os/translations.hpp"
#include "tls/context.hpp"

#include <algorithm>
#include <cstdio>
#include <exception>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace {

// Each file is read once: its text is asked for before it is known which language to speak, and again after.
// A pipe says nothing the second time.
class file_texts {
public:
    std::optional<std::string> operator()(const std::string& path) {
        auto [known, is_new] = texts_.try_emplace(path);
        if (is_new)
            if (auto text = os::read_file(path); text.has_value())
                known->second = std::move(*text);
        return known->second;
    }

private:
    std::map<std::string, std::optional<std::string>> texts_;
};

// What it was called as, without directory and extension: where there are several relays on a machine each
// can have a name of its own in the log.
std::string program_name(std::string_view path) {
    path.remove_prefix(path.rfind('/') + 1);
    const std::string name = base::printable(path.substr(0, path.rfind('.')));
    return name.empty() ? "emailrelay" : name;
}

config::surroundings find_surroundings(const std::string& program) {
    config::surroundings around;
    around.program = program;
    around.start_directory = os::current_directory();
    around.program_directory = os::program_directory();
    around.columns = os::terminal_columns();
    around.read_file = file_texts();
    around.look_at = [](const std::string& path) {
        switch (os::look_at(path)) {
        case os::file_kind::missing:
            return config::surroundings::file_kind::missing;
        case os::file_kind::directory:
            return config::surroundings::file_kind::directory;
        case os::file_kind::file:
            break;
        }
        return config::surroundings::file_kind::file;
    };
    around.to_a_labels = [](std::string_view domain) {
        return mail::to_a_labels(domain);
    };
    around.variable = os::environment_variable;
    around.tls_library = tls::libraries();
    around.default_spool_dir = EMAILRELAY_SPOOL_DIR;
    around.default_locale_dir = EMAILRELAY_LOCALE_DIR;
    return around;
}

} // namespace

int main(int argc, char** argv) {
    os::open_standard_streams();
    const std::string program = program_name(argc > 0 ? argv[0] : "");
    try {
        std::vector<std::string> words(argv + std::min(argc, 1), argv + argc);
        const config::surroundings around = find_surroundings(program);
        if (const auto directory = config::find_locale_directory(words, around))
            os::use_translations(*directory);
        config::outcome outcome = config::read_configuration(words, around);
        if (auto* end = std::get_if<config::ending>(&outcome)) {
            std::fputs(end->out.c_str(), stdout);
            std::fputs(end->err.c_str(), stderr);
            return end->exit_code;
        }
        const auto& configuration = std::get<config::configuration>(outcome);
        return configuration.whole.check_only ? check_configuration(configuration)
                                              : run_program(configuration);
    } catch (const std::exception& e) {
        std::fprintf(stderr, "%s: error: %s\n", program.c_str(), e.what());
        return 1;
    }
}
