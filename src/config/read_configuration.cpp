// The order in which things are looked at (spec/command-line.md section 4): help, what is written badly,
// version, surplus words, what does not fit together, what is not built yet; then the structs and their
// warnings.

#include "base/text.hpp"
#include "base/translation.hpp"
#include "config/building.hpp"
#include "config/configuration.hpp"
#include "config/help.hpp"
#include "config/option_values.hpp"
#include "config/settings.hpp"
#include "config/usage_checks.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace config {

namespace {

ending fail(const surroundings& around, const std::vector<std::string>& texts) {
    return {.exit_code = 1, .err = error_lines(around.program, texts)};
}

ending fail_usage(const surroundings& around, std::string_view text) {
    return {.exit_code = 1, .err = base::tr_format("{}: usage error: {}\n", around.program, text)};
}

ending with_hint(const surroundings& around, ending end) {
    end.err.append(around.program.size() + 2, ' ');
    end.err += base::tr_format("try \"{} --help --verbose\" for more information\n", around.program);
    return end;
}

// Reads the configuration file into what the command line gives. The result is why it could not be read.
std::optional<std::string> add_file(const std::string& written, const surroundings& around, settings& given) {
    const std::string path = absolute_path(written, around);
    const std::optional<std::string> text = around.read_file ? around.read_file(path) : std::nullopt;
    const std::string shown = base::printable(written.starts_with("@app") ? path : written);
    if (!text)
        return base::tr_format("error reading configuration file: {}", shown);
    if (text->find('\0') != text->npos)
        return base::tr_format("invalid character in configuration file: {}", shown);
    given.append(read_file_text(*text, relay_vocabulary(around.on)));
    return std::nullopt;
}

bool is_given(const settings& given, known_option name) {
    return std::any_of(given.uses.begin(), given.uses.end(),
                       [&](const setting& use) { return use.row == &name.row() && !use.off; });
}

} // namespace

std::optional<std::string> find_locale_directory(const std::vector<std::string>& words,
                                                 const surroundings& around) {
    command_line line = read_words(words, relay_vocabulary(around.on));
    if (!line.rest.empty() && around.read_file)
        if (const auto text = around.read_file(absolute_path(line.rest.front(), around)))
            line.given.append(read_file_text(*text, relay_vocabulary(around.on)));
    if (is_given(line.given, "env"))
        line.given.append(read_environment(line.given, relay_vocabulary(around.on), around));
    for (const setting& use : line.given.uses)
        if (use.row == &known_option("localedir").row())
            return use.value->empty() ? around.default_locale_dir : absolute_path(*use.value, around);
    return std::nullopt;
}

outcome read_configuration(const std::vector<std::string>& words, const surroundings& around) {
    command_line line = read_words(words, relay_vocabulary(around.on));
    const bool too_many_words = line.rest.size() > 1;
    std::optional<std::string> file_error;
    if (!line.rest.empty())
        file_error = add_file(line.rest.front(), around, line.given);
    if (is_given(line.given, "env"))
        line.given.append(read_environment(line.given, relay_vocabulary(around.on), around));
    if (is_given(line.given, "help"))
        return ending{0, help_text(is_given(line.given, "verbose"), around), {}};

    divided parts = divide(line.given.uses);
    std::vector<std::string> errors = std::move(line.given.errors);
    std::move(parts.errors.begin(), parts.errors.end(), std::back_inserter(errors));
    sort_errors(errors);
    if (!errors.empty())
        return with_hint(around, fail(around, errors));
    // Where there is more than one word, it is likelier that they are no file names at all.
    if (file_error && !too_many_words)
        return fail(around, {*file_error});

    const option_values& first = parts.instances.front().given;
    if (first.has("version"))
        return ending{0, version_text(first.has("verbose"), around), {}};
    if (too_many_words)
        return with_hint(around, fail_usage(around, base::tr("too many non-option arguments")));
    for (const named_values& one : parts.instances)
        if (const std::optional<std::string> text = find_usage_error(one.given))
            return fail_usage(around, *text);
    for (const named_values& one : parts.instances)
        if (const std::optional<std::string> text = find_value_error(one.given))
            return fail(around, {*text});
    if (const std::vector<std::string> texts = find_unavailable(parts.instances); !texts.empty())
        return fail(around, texts);

    configuration result{.whole = build_process(first, around), .instances = {}, .warnings = {}};
    for (const named_values& one : parts.instances)
        result.instances.push_back(build_instance(one, around, result.whole.daemon));
    result.warnings = find_warnings(parts.instances, around);
    return result;
}

} // namespace config
