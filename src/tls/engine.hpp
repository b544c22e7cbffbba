// One TLS session as an engine: octets in, octets out (spec/tls.md).
//
// The driver feeds what came from the network and writes take_output() to it after every call. Handshake
// steps may cost milliseconds of arithmetic and may read files of the library's own (directories of
// authorities), so they belong on a thread that may be kept busy; reading and writing do not. An engine is
// used by one thread at a time and never blocks or throws.
//
// Errors carry the library's text and no code.
#pragma once

#include "base/result.hpp"
#include "base/tls_session.hpp"

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace tls {

class engine {
public:
    virtual ~engine() = default;

    // Octets from the peer; copied.
    void feed(std::span<const char> ciphertext) { input_.append(ciphertext.data(), ciphertext.size()); }

    bool has_output() const noexcept { return !output_.empty(); }
    std::string take_output() { return std::exchange(output_, {}); }

    // Goes on with the handshake as far as what was fed allows. True when it is done; false: all is used up
    // and more octets are needed. After an error there may be output left, an alert for the peer.
    virtual base::result<bool> handshake() = 0;
    // After the handshake.
    virtual base::tls_session session() = 0;

    // Plain text; 0 when more octets are needed. Also handles what is not plain text: tickets, new keys.
    virtual base::result<std::size_t> read(std::span<char> into) = 0;
    // read() has something to say without more octets: plain text that did not fit, or an error.
    virtual bool may_read() const noexcept = 0;
    // The peer has said that it sends nothing more; read() gives 0.
    virtual bool peer_closed() const noexcept = 0;

    virtual base::result<void> write(std::string_view plain) = 0;
    // Puts our close notification into the output.
    virtual void close() = 0;

protected:
    // For back-ends. Takes up to the size of `into`; what has been used up is freed.
    std::size_t take_input(std::span<char> into) noexcept;
    bool has_input() const noexcept { return used_ < input_.size(); }
    void add_output(std::string_view ciphertext) { output_ += ciphertext; }

private:
    std::string input_;
    std::size_t used_ = 0;
    std::string output_;
};

} // namespace tls
