#include "main/service_listeners.hpp"

#include "base/text.hpp"

#include <boost/system/errc.hpp>

#include <iterator>
#include <utility>

base::result<void> service_listeners::open(net::worker& on, const std::vector<std::string>& items,
                                           std::uint16_t port) {
    if (items.empty())
        return open_wildcards(on, port);
    std::vector<std::string> names;
    for (const std::string& item : items) {
        if (net::is_interface_name(item)) {
            names.push_back(item);
            continue;
        }
        auto opened = net::listener::open(on, item, port);
        if (opened.has_error())
            return opened.error();
        listeners_.push_back(std::move(*opened));
    }
    return names.empty() ? base::result<void>() : open_interfaces(on, names, port);
}

base::result<void> service_listeners::open_wildcards(net::worker& on, std::uint16_t port) {
    for (const char* address : {"0.0.0.0", "::"}) {
        auto opened = net::listener::open(on, address, port);
        if (opened.has_value()) {
            listeners_.push_back(std::move(*opened));
            continue;
        }
        bool no_such_family = opened.error().code == boost::system::errc::address_family_not_supported ||
                              opened.error().code == boost::system::errc::address_not_available;
        if (listeners_.empty() || !no_such_family)
            return opened.error();
        // a host without IPv6
    }
    return {};
}

base::result<void> service_listeners::open_interfaces(net::worker& on, const std::vector<std::string>& names,
                                                      std::uint16_t port) {
    interfaces_ = std::make_unique<net::interface_listeners>(on, names, port, log_);
    auto opened = interfaces_->open(listeners_);
    if (opened.has_error())
        return opened.error();
    std::move(opened->begin(), opened->end(), std::back_inserter(listeners_));
    if (listeners_.empty())
        for (const std::string& name : names)
            log_.warning("{} server: nothing to do: waiting for interface \"{}\"", protocol_,
                         base::printable(name));
    return {};
}

void service_listeners::hand_to(relay::reception& door) {
    door.listen(std::move(listeners_));
    if (interfaces_)
        interfaces_->follow([&door](net::listener l) { door.add_listener(std::move(l)); },
                            [&door](const net::endpoint& where) { door.remove_listener(where); });
}

void service_listeners::stop_following() {
    if (interfaces_)
        interfaces_->stop();
}

void service_listeners::clear() {
    listeners_.clear();
    interfaces_.reset();
}
