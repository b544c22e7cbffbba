// SOCKS 4a from the client's side: a connection to a server is turned into one to a far host that the server
// looks up (spec/smtp-client.md section 2.1).
//
// The first two functions are the exchange without I/O. Nothing behind the reply is read: it belongs to the
// protocol that is spoken next.
#pragma once

#include "base/result.hpp"
#include "net/stream.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace net {

constexpr std::size_t socks_reply_size = 8;

// Nothing when the name cannot be sent: it is empty, too long for a name, or holds the NUL that ends it.
base::result<std::string> socks_request(std::string_view far_host, std::uint16_t far_port);

// What the octets received so far amount to; decided as soon as they suffice.
enum class socks_answer { incomplete, granted, rejected, invalid };
socks_answer read_socks_reply(std::string_view received);

// The exchange, within the stream's deadline. Errors: "socks error: request rejected", "socks error: invalid
// response", "socks error: disconnected"; time-out and interrupt as the stream gives them.
awaitable<base::result<void>> pass_socks(stream& server, std::string far_host, std::uint16_t far_port);

} // namespace net
