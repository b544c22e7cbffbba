#include "net/interface_listeners.hpp"

#include "net/address.hpp"
#include "net/worker.hpp"

#include "base/text.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>

#include <algorithm>
#include <chrono>
#include <map>
#include <optional>
#include <set>
#include <utility>

namespace net {

namespace asio = boost::asio;

namespace {

// Changes come in flocks: an interface that goes up gets several addresses.
constexpr std::chrono::milliseconds settling_time{300};
constexpr std::chrono::seconds time_to_try_again{5};

bool is_not_usable_yet(const base::error& e) {
    return e.code == boost::system::errc::address_not_available;
}

} // namespace

bool is_interface_name(std::string_view item) {
    std::string_view literal = item;
    if (literal.size() > 2 && literal.front() == '[' && literal.back() == ']')
        literal = literal.substr(1, literal.size() - 2);
    return item.find('/') == item.npos && !item.starts_with("fd#") && !is_ip_literal(literal);
}

bool is_of_interface(std::string_view item, const os::interface_address& address) {
    constexpr std::size_t suffix = 5;
    if (item.ends_with("-ipv4") && !address.ipv6)
        item.remove_suffix(suffix);
    else if (item.ends_with("-ipv6") && address.ipv6)
        item.remove_suffix(suffix);
    std::string_view name = address.interface;
    bool alias = name.size() > item.size() && name[item.size()] == ':';
    return name.starts_with(item) && (name.size() == item.size() || alias);
}

struct interface_listeners::impl : std::enable_shared_from_this<interface_listeners::impl> {
    impl(worker& on, std::vector<std::string> n, std::uint16_t p, base::logger l, address_source s)
        : home(on), names(std::move(n)), port(p), log(std::move(l)), source(std::move(s)),
          watched(on.context()), settling(on.context()), again(on.context()) {}
    ~impl() { watched.release(); } // `changes` closes it

    // The addresses that the names stand for now; nothing when that cannot be found out, which is logged.
    std::optional<std::set<std::string>> wanted(bool with_warnings) {
        auto all = source();
        if (all.has_error()) {
            log.warning("{}", all.error().message());
            return std::nullopt;
        }
        std::set<std::string> found;
        for (const std::string& name : names) {
            bool any = false;
            for (const os::interface_address& address : *all) {
                if (!is_of_interface(name, address))
                    continue;
                any = true;
                if (!elsewhere.contains(address.address))
                    found.insert(address.address);
            }
            if (!any && with_warnings)
                log.warning("no addresses bound to named network interface \"{}\"", base::printable(name));
        }
        return found;
    }

    void watch() {
        watched.async_wait(asio::posix::stream_descriptor::wait_read,
                           [weak = weak_from_this()](const boost::system::error_code& code) {
                               if (auto self = weak.lock(); self && !code)
                                   self->settle();
                           });
    }

    void settle() {
        settling.expires_after(settling_time);
        settling.async_wait([weak = weak_from_this()](const boost::system::error_code& code) {
            auto self = weak.lock();
            if (!self || code)
                return;
            self->changes.drain();
            self->update();
            self->watch();
        });
    }

    void update() {
        auto now = wanted(false);
        if (!now || stopped)
            return;
        remove_others_than(*now);
        bool complete = true;
        for (const std::string& address : *now)
            complete = (present.contains(address) || add(address)) && complete;
        std::erase_if(complained_of, [&](const std::string& address) { return !now->contains(address); });
        if (!complete)
            try_again();
    }

    void remove_others_than(const std::set<std::string>& keep) {
        for (auto i = present.begin(); i != present.end();) {
            if (keep.contains(i->first)) {
                ++i;
                continue;
            }
            endpoint where = i->second;
            i = present.erase(i);
            removed(where);
        }
    }

    bool add(const std::string& address) {
        auto opened = listener::open(home, address, port);
        if (opened.has_error()) {
            if (!is_not_usable_yet(opened.error()) && complained_of.insert(address).second)
                log.warning("cannot listen on {}: {}", address, opened.error().message());
            return false;
        }
        complained_of.erase(address);
        present.emplace(address, opened->local());
        added(std::move(*opened));
        return true;
    }

    void try_again() {
        again.expires_after(time_to_try_again);
        again.async_wait([weak = weak_from_this()](const boost::system::error_code& code) {
            if (auto self = weak.lock(); self && !code)
                self->update();
        });
    }

    worker& home;
    const std::vector<std::string> names;
    const std::uint16_t port;
    base::logger log;
    address_source source;
    std::set<std::string> elsewhere;         // addresses that listeners of others have
    std::map<std::string, endpoint> present; // by address
    std::set<std::string> complained_of;
    std::function<void(listener)> added;
    std::function<void(const endpoint&)> removed;
    os::interface_changes changes;
    asio::posix::stream_descriptor watched;
    asio::steady_timer settling;
    asio::steady_timer again;
    bool stopped = false;
};

interface_listeners::interface_listeners(worker& on, std::vector<std::string> names, std::uint16_t port,
                                         base::logger log, address_source source)
    : impl_(std::make_shared<impl>(on, std::move(names), port, std::move(log), std::move(source))) {}

interface_listeners::~interface_listeners() = default;

base::result<std::vector<listener>> interface_listeners::open(const std::vector<listener>& others) {
    impl& self = *impl_;
    for (const listener& other : others)
        self.elsewhere.insert(other.local().address);
    // Before the addresses are read, so that no change goes by unseen.
    if (auto watching = self.changes.open(); watching.has_error())
        self.log.warning("changes of network interfaces are not followed: {}", watching.error().message());

    std::vector<listener> out;
    auto now = self.wanted(true);
    if (!now)
        return out;
    for (const std::string& address : *now) {
        auto opened = listener::open(self.home, address, self.port);
        if (opened.has_error() && is_not_usable_yet(opened.error()))
            continue;
        if (opened.has_error())
            return opened.error();
        self.present.emplace(address, opened->local());
        out.push_back(std::move(*opened));
    }
    return out;
}

void interface_listeners::follow(std::function<void(listener)> added,
                                 std::function<void(const endpoint&)> removed) {
    impl_->added = std::move(added);
    impl_->removed = std::move(removed);
    if (int fd = impl_->changes.descriptor(); fd >= 0) {
        impl_->watched.assign(fd);
        impl_->watch();
    }
    update();
}

void interface_listeners::update() {
    impl_->update();
}

void interface_listeners::stop() {
    impl_->stopped = true;
    impl_->settling.cancel();
    impl_->again.cancel();
    boost::system::error_code ignored;
    impl_->watched.cancel(ignored);
}

} // namespace net
