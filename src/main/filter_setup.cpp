#include "main/filter_setup.hpp"

#include "filter/copy.hpp"
#include "filter/message_id.hpp"
#include "filter/pause.hpp"
#include "filter/program.hpp"
#include "filter/split.hpp"

#include <memory>

namespace {

// Nothing for kinds that are not there yet.
filter::maker maker_of(const config::filter_specification& one, const config::instance& relay) {
    using enum config::filter_specification::kind;
    switch (one.what) {
    case program:
        return [path = one.value](const filter::services& with) {
            return std::make_unique<filter::program>(path, with);
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
        return [given = one.value, directory = relay.delivery_dir](const filter::services& with) {
            return std::make_unique<filter::deliver>(given, directory, with);
        };
    case copy:
        return [given = one.value](const filter::services& with) {
            return std::make_unique<filter::copy>(given, with);
        };
    case split:
        return [given = one.value](const filter::services& with) {
            return std::make_unique<filter::split>(given, with);
        };
    case message_id:
        return [domain = relay.domain](const filter::services& with) {
            return std::make_unique<filter::message_id>(domain, with);
        };
    case network:
    case spamd:
    case spamd_edit:
    case mx:
        break;
    }
    return nullptr;
}

} // namespace

base::result<relay::filter_settings>
filter_settings_of(const std::vector<config::filter_specification>& chain, const config::instance& one) {
    relay::filter_settings settings;
    settings.timeout = std::chrono::seconds(one.filter_timeout);
    for (const config::filter_specification& each : chain) {
        filter::maker maker = maker_of(each, one);
        if (!maker)
            return base::error{{}, "this kind of filter is not available in this build yet"};
        settings.makers.push_back(std::move(maker));
    }
    return settings;
}
