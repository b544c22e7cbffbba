// emailrelay: from the words of the command line to a running program or a printed answer.
#include "main/check_configuration.hpp"
#include "main/program.hpp"

#include "config/configuration.hpp"
#include "mail/idn.hpp"
#include "os/process.hpp"
#include "os/translations.hpp"
#include "tls/context.hpp"

#include <cstdio>
#include <exception>
#include <string>
#include <variant>
#include <vector>

namespace {

config::surroundings find_surroundings() {
    config::surroundings around;
    around.start_directory = os::current_directory();
    around.program_directory = os::program_directory();
    around.columns = os::terminal_columns();
    around.read_file = [](const std::string& path) -> std::optional<std::string> {
        auto text = os::read_file(path);
        if (text.has_error())
            return std::nullopt;
        return std::move(*text);
    };
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
    try {
        std::vector<std::string> words(argv + 1, argv + argc);
        const config::surroundings around = find_surroundings();
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
        std::fprintf(stderr, "emailrelay: error: %s\n", e.what());
        return 1;
    }
}
