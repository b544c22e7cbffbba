// Options from variables of the environment (--env). They come last: what the command line or the
// configuration file gives, in whatever form, is not looked for here.

#include "base/text.hpp"
#include "base/translation.hpp"
#include "config/configuration.hpp"
#include "config/settings.hpp"

#include <algorithm>
#include <utility>

namespace config {

namespace {

std::string variable_name(std::string_view option) {
    std::string name = "EMAILRELAY_";
    for (char c : option)
        name += c == '-' ? '_' : static_cast<char>(c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c);
    return name;
}

// These ask for something at once, and by hand.
bool is_for_hands(const option& row) {
    return row.name == "help" || row.name == "version" || row.name == "check-config" || row.name == "env";
}

// Kubernetes tells each container where its services are: for one that is called "emailrelay", or
// "emailrelay-pop", EMAILRELAY_PORT or EMAILRELAY_POP_PORT is such a URL.
bool is_place_of_a_service(const option& row, std::string_view value) {
    const bool is_port = row.name == "port" || row.name.ends_with("-port");
    return is_port && (value.starts_with("tcp://") || value.starts_with("udp://"));
}

class environment_reader {
public:
    environment_reader(const vocabulary& known, const surroundings& around)
        : known_(known), around_(around) {}

    void read(const option& row) {
        const std::string name = variable_name(row.name);
        std::optional<std::string> value = variable(name);
        if (value && is_place_of_a_service(row, *value))
            value.reset();
        // An option that is named so itself comes first: EMAILRELAY_LOG_FILE is --log-file.
        const bool may_be_in_file =
            row.takes != value_kind::none && !known_.find(std::string(row.name) + "-file");
        if (const auto path = may_be_in_file ? variable(name + "_FILE") : std::nullopt) {
            if (value) {
                found_.errors.push_back(base::tr_format("{0} and {0}_FILE cannot be used together", name));
                return;
            }
            value = around_.read_file(*path);
            if (!value)
                found_.errors.push_back(base::tr_format("cannot read the file of {}: {}", name + "_FILE",
                                                        base::printable(*path)));
            else
                value->erase(value->find_last_not_of("\r\n") + 1);
        }
        if (value)
            found_.add({.row = &row, .value = std::move(value)});
    }

    settings take() { return std::move(found_); }

private:
    // An empty variable is as if there were none.
    std::optional<std::string> variable(const std::string& name) const {
        std::optional<std::string> value = around_.variable(name);
        return value && !value->empty() ? value : std::nullopt;
    }

    const vocabulary& known_;
    const surroundings& around_;
    settings found_;
};

} // namespace

settings read_environment(const settings& given, const vocabulary& known, const surroundings& around) {
    // Without a name in front an option belongs to the first instance.
    std::string first;
    for (const setting& use : given.uses) {
        if (use.row->name == "spool-dir") {
            first = use.prefix;
            break;
        }
    }
    const auto is_given = [&](const option& row) {
        return std::any_of(given.uses.begin(), given.uses.end(), [&](const setting& use) {
            const bool counts = use.prefix.empty() || use.prefix == first || row.name == "spool-dir";
            return use.row == &row && counts;
        });
    };
    environment_reader reader(known, around);
    for (const option& row : known.rows)
        if (!is_for_hands(row) && known.find(row.name) && !is_given(row))
            reader.read(row);
    return reader.take();
}

} // namespace config
