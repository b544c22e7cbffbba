// What an rtnetlink message says is not looked at: whoever hears of a change reads the whole list anew, so
// that a message lost when the socket's buffer overflows does no harm.
#include "os/interfaces.hpp"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <optional>

namespace os {

namespace {

std::string literal_of(const sockaddr_in& from) {
    char text[INET_ADDRSTRLEN] = "";
    ::inet_ntop(AF_INET, &from.sin_addr, text, sizeof text);
    return text;
}

std::string literal_of(const sockaddr_in6& from) {
    char text[INET6_ADDRSTRLEN] = "";
    ::inet_ntop(AF_INET6, &from.sin6_addr, text, sizeof text);
    char scope[IF_NAMESIZE] = "";
    if (!IN6_IS_ADDR_LINKLOCAL(&from.sin6_addr) || !::if_indextoname(from.sin6_scope_id, scope))
        return text;
    return std::string(text) + "%" + scope;
}

std::optional<interface_address> read_entry(const ifaddrs& entry) {
    if (!entry.ifa_addr)
        return std::nullopt;
    if (entry.ifa_addr->sa_family == AF_INET) {
        sockaddr_in v4;
        std::memcpy(&v4, entry.ifa_addr, sizeof v4);
        return interface_address{entry.ifa_name, literal_of(v4), false};
    }
    if (entry.ifa_addr->sa_family == AF_INET6) {
        sockaddr_in6 v6;
        std::memcpy(&v6, entry.ifa_addr, sizeof v6);
        return interface_address{entry.ifa_name, literal_of(v6), true};
    }
    return std::nullopt;
}

} // namespace

base::result<std::vector<interface_address>> interface_addresses() {
    ifaddrs* list = nullptr;
    if (::getifaddrs(&list) != 0)
        return base::last_error("cannot read the addresses of network interfaces");
    std::unique_ptr<ifaddrs, decltype(&::freeifaddrs)> owner(list, ::freeifaddrs);
    std::vector<interface_address> out;
    for (const ifaddrs* entry = list; entry; entry = entry->ifa_next)
        if (auto address = read_entry(*entry))
            out.push_back(std::move(*address));
    return out;
}

interface_changes::~interface_changes() {
    if (fd_ >= 0)
        ::close(fd_);
}

base::result<void> interface_changes::open() {
    int fd = ::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
    if (fd < 0)
        return base::last_error("netlink socket");
    sockaddr_nl groups{};
    groups.nl_family = AF_NETLINK;
    groups.nl_groups = RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR | RTMGRP_LINK; // links: for changed names
    if (::bind(fd, reinterpret_cast<const sockaddr*>(&groups), sizeof groups) != 0) {
        auto why = base::last_error("netlink socket");
        ::close(fd);
        return why;
    }
    fd_ = fd;
    return {};
}

void interface_changes::drain() noexcept {
    char buffer[16 * 1024];
    ssize_t n;
    do
        n = ::recv(fd_, buffer, sizeof buffer, 0);
    while (n > 0 || (n < 0 && (errno == EINTR || errno == ENOBUFS)));
}

} // namespace os
