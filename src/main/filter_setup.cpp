#include "main/filter_setup.hpp"

#include "base/text.hpp"
#include "filter/copy.hpp"
#include "filter/forward_to.hpp"
#include "filter/message_id.hpp"
#include "filter/milter.hpp"
#include "filter/mx.hpp"
#include "filter/network.hpp"
#include "filter/pause.hpp"
#include "filter/program.hpp"
#include "filter/spamd.hpp"
#include "filter/split.hpp"
#include "mail/next_hop.hpp"

#include <algorithm>
#include <memory>
#include <utility>

namespace {

void warn_of_ignored(std::string_view filter, const std::vector<std::string>& words,
                     const base::logger& log) {
    for (const std::string& word : words)
        log.warning("invalid {} filter configuration: ignoring [{}]", filter, base::printable(word));
}

filter::maker maker_of(const config::filter_specification& one, const config::instance& relay,
                       const os::program_starter& starter, const base::logger& log) {
    using enum config::filter_specification::kind;
    switch (one.what) {
    case program:
        return [path = one.value, directory = relay.spool_dir_for_programs,
                &starter](const filter::services& with) {
            return std::make_unique<filter::program>(path, directory, with, starter);
        };
    case exit:
        return [code = one.number](const filter::services&) {
            return std::make_unique<filter::fixed_exit>(code);
        };
    case sleep:
        return [time = std::chrono::milliseconds(one.number)](const filter::services& with) {
            return std::make_unique<filter::pause>(time, with);
        };
    case deliver:
        warn_of_ignored("deliver", filter::unknown_to_copy(one.value), log);
        return [given = one.value, directory = relay.delivery_dir](const filter::services& with) {
            return std::make_unique<filter::deliver>(given, directory, with);
        };
    case copy:
        warn_of_ignored("copy", filter::unknown_to_copy(one.value), log);
        return [given = one.value](const filter::services& with) {
            return std::make_unique<filter::copy>(given, with);
        };
    case split:
        warn_of_ignored("split", filter::unknown_to_split(one.value), log);
        return [given = one.value](const filter::services& with) {
            return std::make_unique<filter::split>(given, with);
        };
    case message_id:
        return [domain = relay.domain](const filter::services& with) {
            return std::make_unique<filter::message_id>(domain, with);
        };
    case network:
        return [server = target_of(one.value)](const filter::services& with) {
            return std::make_unique<filter::network>(server, with);
        };
    case spamd:
    case spamd_edit:
        return [server = target_of(one.value), edits = one.what == spamd_edit](const filter::services& with) {
            return std::make_unique<filter::spamd>(server, edits, with);
        };
    case milter:
        return [server = target_of(one.value), shown = one.value](const filter::services& with) {
            return std::make_unique<filter::milter>(server, shown, with);
        };
    case mx: {
        std::vector<std::string> ignored;
        net::name_servers servers = filter::read_mx_parameters(one.value, ignored);
        warn_of_ignored("mx", ignored, log);
        return [given = one.value, servers = std::move(servers)](const filter::services& with) {
            return std::make_unique<filter::mx>(given, servers, with);
        };
    }
    }
    return nullptr;
}

} // namespace

// Filters run one after the other, but a connection of `net:` is kept. Those that only work on files are few
// at a time, as disk threads are.
std::size_t descriptors_of(const std::vector<config::filter_specification>& chain) {
    using enum config::filter_specification::kind;
    constexpr std::size_t output_and_end = 2, connection_and_two_files = 3;
    std::size_t kept = 0, at_a_time = 0;
    for (const config::filter_specification& one : chain) {
        if (one.what == network)
            ++kept;
        else if (one.what == program)
            at_a_time = std::max(at_a_time, output_and_end);
        else if (one.what == spamd || one.what == spamd_edit || one.what == milter)
            at_a_time = std::max(at_a_time, connection_and_two_files);
    }
    return kept + at_a_time;
}

std::size_t descriptors_of(const config::verifier_specification& one) {
    using enum config::verifier_specification::kind;
    return one.what == program ? 2 : one.what == network ? 1 : 0;
}

net::target target_of(const std::string& address) {
    const mail::next_hop to = mail::parse_next_hop(address).value();
    return {.path = to.path, .host = to.host, .service = to.service};
}

relay::filter_settings filter_settings_of(const std::vector<config::filter_specification>& chain,
                                          const config::instance& one, const os::program_starter& starter,
                                          const base::logger& log) {
    relay::filter_settings settings;
    settings.timeout = std::chrono::seconds(one.filter_timeout);
    for (const config::filter_specification& each : chain)
        settings.makers.push_back(maker_of(each, one, starter, log));
    return settings;
}
