// A connection to a server that helps with one's own work: a network filter, a verifier, spamd, a milter.
//
// Opened when first needed and kept while the server keeps it. Every wait ends by the deadline given to
// begin(). Lives on its worker. Texts of errors are those of the log: "connect failure: cannot connect to A",
// "response timeout: no response after Ns while connected to A", "peer disconnected".
#pragma once

#include "net/connector.hpp"
#include "net/stream.hpp"

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

namespace net {

class helper_connection {
public:
    helper_connection(worker& on, target server, std::chrono::seconds limit);

    // A new piece of work: what the server has sent unasked is dropped, a connection that it has closed is
    // forgotten, the time limit begins anew.
    void begin();
    bool is_open() const noexcept { return peer_.has_value(); }
    bool timed_out() const noexcept { return timed_out_; } // the last wait did

    awaitable<base::result<void>> open(); // does nothing on an open one
    // After an error the connection is closed.
    awaitable<base::result<void>> write(std::string_view bytes);
    awaitable<base::result<std::string>> read(); // at least one octet
    void more_time();                            // the limit begins anew

    // The octets up to the next LF, without it and a CR before it; whatever else has come is dropped.
    awaitable<base::result<std::string>> read_line();

    void close() { peer_.reset(); }
    void interrupt(); // the present and all later waits end

private:
    base::error why(const base::error& failed);

    worker& worker_;
    target server_;
    std::chrono::seconds limit_;
    connector connector_;
    std::optional<stream> peer_;
    time_point deadline_ = time_point::max();
    bool timed_out_ = false;
    bool interrupted_ = false;
};

// "127.0.0.1/10101/ip", or the path: as network filters stand in the log.
std::string helper_name(const target& server);

} // namespace net
