// What can be asked of a socket beside reading and writing it.
#pragma once

namespace os {

// True when the peer has closed its side or is gone, also while octets from it wait to be read.
bool peer_has_closed(int socket) noexcept;

} // namespace os
