// The client's side of authentication (spec/authentication.md section 7; RFC 4422, 4616, 2195, 5802, 7628).
//
// A `client` chooses: which secrets a message's account has, and what may be tried with them at this server.
// A `client_exchange` is one attempt. The protocol does base64 and the cancelling "*". Nothing here asks for
// entropy, time or files.
#pragma once

#include "base/secret_text.hpp"
#include "sasl/mechanism.hpp"
#include "sasl/scram.hpp"
#include "sasl/secrets.hpp"

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace sasl {

// One way to log in.
struct candidate {
    mechanism how;
    const secret_entry* with; // lives as long as the client
};

class client {
public:
    // No secrets: nobody is ever logged in.
    client() = default;
    client(std::shared_ptr<const secrets> known, std::shared_ptr<const mechanism_rules> rules);

    enum class account {
        none_needed, // send without authentication
        unknown,     // nobody of this name: a failure
        there,
    };
    account find(std::string_view selector) const;

    // In the order in which they are tried.
    std::vector<candidate> candidates(std::string_view selector, bool encrypted, bool can_bind,
                                      std::span<const std::string> offered) const;

    // Whether a -PLUS mechanism would be used if the server had one.
    bool would_bind(bool encrypted) const;

private:
    std::shared_ptr<const secrets> secrets_;
    std::shared_ptr<const mechanism_rules> rules_;
};

struct client_facts {
    std::string nonce; // printable, without commas; never the same again
    bool encrypted = false;
    std::vector<channel_binding> bindings{};
    bool could_bind = false; // and the server has not offered it
};

struct response {
    base::secret_text text;
};
struct cancel {};
struct client_compute {}; // milliseconds of computing

using client_step = std::variant<response, cancel, client_compute>;

class client_exchange {
public:
    // The secret outlives the exchange.
    client_exchange(candidate chosen, client_facts facts);

    // What may go with the command itself. If it did not, because it is too long, it answers the first
    // challenge.
    std::optional<base::secret_text> initial_response();
    void initial_response_not_sent() noexcept { sent_ = 0; }

    client_step respond(std::string_view challenge);

    void compute(); // on some other thread
    client_step computed();

    // The server says that we are logged in. False when it ought to have proved who it is, and has not.
    bool satisfied() const noexcept;

private:
    base::secret_text first() const;
    base::secret_text oauthbearer() const;
    std::string gs2_header() const;
    client_step scram_answer(std::string_view challenge);
    client_step scram_first(std::string_view challenge);
    client_step scram_last(std::string_view signature);

    candidate chosen_;
    client_facts facts_;
    unsigned sent_ = 0;

    // SCRAM
    std::string first_bare_;
    std::string salt_;
    unsigned iterations_ = 0;
    std::string without_proof_;
    std::string auth_message_;
    base::secret_text salted_;
    bool server_proved_ = false;
};

} // namespace sasl
