#include "net/socks.hpp"

#include <array>
#include <span>

namespace net {

namespace {

constexpr std::size_t longest_name = 255; // RFC 1035 section 2.3.4

constexpr char version = 4;
constexpr char connect_command = 1;
constexpr char reply_version = 0;
constexpr char request_granted = 0x5a;

base::error socks_error(const char* why) {
    return {{}, std::string("socks error: ") + why};
}

} // namespace

base::result<std::string> socks_request(std::string_view far_host, std::uint16_t far_port) {
    if (far_host.empty() || far_host.size() > longest_name || far_host.find('\0') != far_host.npos)
        return socks_error("invalid host name");
    std::string out;
    out.reserve(far_host.size() + 10);
    out += version;
    out += connect_command;
    out += static_cast<char>(far_port >> 8);
    out += static_cast<char>(far_port & 0xff);
    out.append({0, 0, 0, 1}); // an address that is none: the name at the end counts
    out += '\0';              // no user
    out += far_host;
    out += '\0';
    return out;
}

socks_answer read_socks_reply(std::string_view received) {
    if (!received.empty() && received[0] != reply_version)
        return socks_answer::invalid;
    if (received.size() >= 2 && received[1] != request_granted)
        return socks_answer::rejected;
    return received.size() < socks_reply_size ? socks_answer::incomplete : socks_answer::granted;
}

awaitable<base::result<void>> pass_socks(stream& server, std::string far_host, std::uint16_t far_port) {
    auto request = socks_request(far_host, far_port);
    if (request.has_error())
        co_return request.error();
    auto written = co_await server.write(*request);
    if (written.has_error())
        co_return stream::is_timeout(written.error()) ? written.error() : socks_error("disconnected");

    std::array<char, socks_reply_size> reply;
    std::size_t have = 0;
    socks_answer answer = socks_answer::incomplete;
    while (answer == socks_answer::incomplete) {
        auto ready = co_await server.readable();
        if (ready.has_error())
            co_return ready.error();
        auto n = server.read_now(std::span<char>(reply).subspan(have));
        if (n.has_error())
            co_return socks_error("disconnected");
        have += *n;
        answer = read_socks_reply({reply.data(), have});
    }
    if (answer == socks_answer::invalid)
        co_return socks_error("invalid response");
    if (answer == socks_answer::rejected)
        co_return socks_error("request rejected");
    co_return base::result<void>();
}

} // namespace net
