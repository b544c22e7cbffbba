// The server's side of authentication, for any protocol (spec/authentication.md; RFC 4422, 4616, 2195, 5802).
//
// A `server` says which mechanisms there are and checks what comes in one piece: USER and PASS, APOP, trusted
// addresses. A `server_exchange` is one AUTH command. The protocol does what is its own: base64, reply codes,
// "*". Nothing here asks for entropy, time or files.
//
//     server_exchange exchange(server, mechanism, facts);
//     step now = exchange.begin(initial_response);
//     ... challenge: send it, respond() with the answer    verdict: the end
//     ... compute: run exchange.compute() on some other thread, then computed()
//     ... ask_password: somebody else knows; the end for the exchange, and passed() or failed() the verdict
#pragma once

#include "base/secret_text.hpp"
#include "sasl/mechanism.hpp"
#include "sasl/scram.hpp"
#include "sasl/secrets.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace sasl {

struct verdict {
    bool success = false;
    std::string id;        // whom they said they are
    std::string mechanism; // "plain"
    // For the log, printable: "mechanism [plain] and plaintext secret for [bob] from line 1", and what was
    // wrong with our side of it, mostly nothing.
    std::string description;
    std::string fault{};
};

// To be sent; may be empty.
struct challenge {
    std::string text;
};

// The password is to be checked by others, who may take their time.
struct ask_password {
    std::string id;
    base::secret_text password;
};

// Milliseconds of computing.
struct compute {};

using step = std::variant<challenge, verdict, ask_password, compute>;

// What differs from one exchange to the next.
struct exchange_facts {
    std::string challenge; // "<random.time@domain>", never the same again
    std::string nonce;     // printable, without commas; never the same again
    bool encrypted = false;
    std::vector<channel_binding> bindings{}; // of the encrypted connection, if they are known
};

class server {
public:
    // Passwords from a file. `salt_key`: random, the same for the life of the process; salts are made of it.
    server(std::shared_ptr<const secrets> known, std::shared_ptr<const mechanism_rules> rules,
           std::shared_ptr<const base::secret_text> salt_key);
    // Passwords that others check.
    explicit server(std::shared_ptr<const mechanism_rules> rules);

    // On offer, strongest first. `can_bind`: bindings are known.
    std::vector<mechanism> mechanisms(bool encrypted, bool can_bind = false) const;
    bool offers(mechanism m, bool encrypted, bool can_bind = false) const;
    bool offers_apop(bool encrypted) const;

    // Null unless the client's address is trusted.
    const trusted_address* trusted(std::string_view address) const;

    // USER and PASS: verdict or ask_password. Whether PLAIN is on offer is the protocol's question.
    step check_password(std::string_view id, std::string_view password) const;
    // The digest in hexadecimal.
    verdict check_apop(std::string_view challenge, std::string_view id, std::string_view hex_digest) const;

private:
    friend class server_exchange;
    bool has(mechanism m) const;

    std::shared_ptr<const secrets> secrets_; // null: ask others
    std::shared_ptr<const mechanism_rules> rules_;
    std::shared_ptr<const base::secret_text> salt_key_;
};

// The verdicts on an ask_password.
verdict passed(const ask_password& asked);
verdict failed(const ask_password& asked);

class server_exchange {
public:
    // The server outlives the exchange.
    server_exchange(const server& by, mechanism m, exchange_facts facts);

    // Whether the client may send something with its command.
    bool takes_initial_response() const noexcept;

    step begin(std::optional<std::string_view> initial_response);
    step respond(std::string_view response);

    void compute();
    step computed();

private:
    step plain(std::string_view message);
    step login_name(std::string_view name);
    step login_password(std::string_view password);
    step cram(std::string_view response);
    step scram_first(std::string_view message);
    step scram_final(std::string_view message);
    step scram_finish();
    verdict judged(bool success, std::string_view id, const secret_entry* entry,
                   std::string fault = {}) const;
    void make_salt(std::string_view name);
    bool is_computed() const;

    const server& server_;
    mechanism mechanism_;
    exchange_facts facts_;
    unsigned answers_ = 0;

    std::string id_; // LOGIN, SCRAM
    const secret_entry* entry_ = nullptr;

    // SCRAM
    std::string salt_;
    std::uint32_t tag_ = 0;       // of the name: unknown_names
    bool seems_computed_ = false; // if there is no such name
    std::string gs2_header_;
    const channel_binding* binding_ = nullptr;
    std::string nonce_;
    std::string auth_message_;
    std::string proof_;
    bool succeeded_ = false;
};

} // namespace sasl
