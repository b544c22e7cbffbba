// What the tests of this folder share: a world of a few files, and the stages of reading one by one.
#pragma once

#include "config/building.hpp"
#include "config/configuration.hpp"
#include "config/option_values.hpp"
#include "config/settings.hpp"
#include "config/usage_checks.hpp"

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

namespace config::testing {

using words = std::vector<std::string>;

// One file, "/home/u/file", with this text; "/bin/prog" is a file and "/bin" a directory.
inline surroundings world(std::string file_text = "") {
    surroundings around;
    around.start_directory = "/home/u";
    around.program_directory = "/opt/app";
    around.read_file = [text = std::move(file_text)](const std::string& path) {
        return path == "/home/u/file" ? std::optional(text) : std::nullopt;
    };
    around.look_at = [](const std::string& path) {
        using enum surroundings::file_kind;
        return path == "/bin/prog" ? file : path == "/bin" ? directory : missing;
    };
    return around;
}

inline ending ending_of(const words& given, const surroundings& around = world()) {
    outcome found = read_configuration(given, around);
    if (ending* end = std::get_if<ending>(&found))
        return std::move(*end);
    return {.exit_code = -1, .out = "", .err = "started"};
}

inline configuration configuration_of(const words& given, const surroundings& around = world()) {
    outcome found = read_configuration(given, around);
    if (configuration* good = std::get_if<configuration>(&found))
        return std::move(*good);
    ADD_FAILURE() << std::get<ending>(found).err;
    return {.whole = {}, .instances = {instance()}, .warnings = {}};
}

inline instance instance_of(const words& given, const surroundings& around = world()) {
    return configuration_of(given, around).instances.front();
}

inline constexpr const char* hint = "            try \"emailrelay --help --verbose\" for more information\n";

// What parse errors print.
inline std::string parse_errors(const words& texts) {
    std::string all;
    for (const std::string& text : texts)
        all += "emailrelay: error: " + text + '\n';
    return all + hint;
}

// The stages behind parsing, for options that read_configuration() refuses as not available.
inline std::vector<named_values> values_of(const words& given) {
    command_line line = read_words(given, relay_vocabulary(platform::posix));
    divided parts = divide(line.given.uses);
    EXPECT_TRUE(line.given.errors.empty()) << line.given.errors.front();
    EXPECT_TRUE(parts.errors.empty()) << parts.errors.front();
    return parts.instances;
}

} // namespace config::testing
