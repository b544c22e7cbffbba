// Questions to given name servers, by c-ares on the worker's own event loop: for block lists and mail
// exchangers.
//
// One UDP packet for each question, recursion desired, random id and port; what does not come from the asked
// address is not seen. Who wants a repeat asks again. Used on the worker's thread only.
#pragma once

#include "base/result.hpp"
#include "net/dns_message.hpp"
#include "net/stream.hpp"

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace net {

class ares_events;
class worker;

class dns_client {
public:
    explicit dns_client(worker& on);
    ~dns_client(); // questions that are open are answered with an error
    dns_client(const dns_client&) = delete;
    dns_client& operator=(const dns_client&) = delete;

    // `server` is one of those that read_dns_server() gives. `answered` is called once, perhaps at once.
    // Error when there was no answer: errc::timed_out after `limit`, or why the question could not be sent.
    // Questions that wait for an answer are bounded: more than that are errors.
    using handler = std::function<void(base::result<dns_answer>)>;
    void ask(const endpoint& server, const std::string& name, dns_type type, std::chrono::milliseconds limit,
             handler answered);
    // The same for one who waits, at most until then. Limits are for few values: each is kept a channel for.
    awaitable<base::result<dns_answer>> ask(endpoint server, std::string name, dns_type type,
                                            std::chrono::milliseconds limit, time_point until);

    // Those of the system's configuration, else 127.0.0.1:53.
    std::vector<endpoint> system_servers();

    static constexpr std::size_t most_open = 4096; // questions for one server and limit

private:
    struct channel;
    channel* channel_for(const endpoint& server, std::chrono::milliseconds limit);

    worker& home_;
    std::map<std::string, std::shared_ptr<channel>> channels_; // by server and limit
};

// "1.1.1.1:53", "::1.53", "::1:53", "[::1]:53"; without a port only if `default_port` is not 0, and then an
// address that can be read whole has none. Error: "address error: invalid network address: X".
base::result<endpoint> read_dns_server(std::string_view text, std::uint16_t default_port = 0);

} // namespace net
