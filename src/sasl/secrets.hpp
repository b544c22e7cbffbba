// A secrets file (spec/authentication.md section 2): who may log in, whom we trust, and how we log in
// elsewhere.
//
// Made from the file's text and never changed: sessions keep the snapshot that they began with. Memory that
// holds passwords is wiped when the last of them goes. Pure: somebody else reads the file.
#pragma once

#include "base/ip_address.hpp"
#include "base/secret_text.hpp"
#include "sasl/hash.hpp"

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

namespace sasl {

struct scram_keys;

// What a line of a secrets file gives: a password, the masked form of one (an HMAC state), or a complete
// XOAUTH2 response.
struct secret_entry {
    secret_entry(std::string type, std::string id, base::secret_text secret, unsigned line);
    secret_entry(const secret_entry&) = delete;
    secret_entry& operator=(const secret_entry&) = delete;

    std::string type; // "plain", "md5", "sha1", "sha256", "sha512", "oauth"
    std::string id;   // decoded
    base::secret_text secret;
    unsigned line; // 0: not from a file

    // Once somebody has used SCRAM with it; computing it is slow. Empty keys: SCRAM has no form for it.
    mutable std::atomic<std::shared_ptr<const scram_keys>> scram;

    // For the log: "plaintext secret for [id] from line 3".
    std::string description() const;
};

// The names without a secret that keys were computed for all the same, as for a secret that is used for the
// first time. Of bounded size: a name is forgotten when another one takes its place. Any thread.
class unknown_names {
public:
    // `tag` stands for the name and cannot be guessed.
    bool contains(std::uint32_t tag) const noexcept { return place_of(tag) == tag; }
    void add(std::uint32_t tag) noexcept { place_of(tag) = tag; }

private:
    using place = std::atomic<std::uint32_t>;
    const place& place_of(std::uint32_t tag) const noexcept { return places_[tag % places_.size()]; }
    place& place_of(std::uint32_t tag) noexcept { return places_[tag % places_.size()]; }

    std::array<place, 1024> places_{};
};

// A client that need not log in.
struct trusted_address {
    std::string range;   // as written
    std::string keyword; // stands for its id
    unsigned line = 0;
    std::optional<base::ip_address> network; // absent: `range` is compared as text
    unsigned bits = 0;

    bool contains(std::string_view address, const std::optional<base::ip_address>& parsed) const noexcept;
};

class secrets {
public:
    // A line that is wrong. It is left out (or too much of it is ignored), the others count.
    struct problem {
        unsigned line = 0;
        std::string text;
        bool warning = false;
    };
    struct parsed {
        std::shared_ptr<const secrets> value; // null when `unusable` says why
        std::vector<problem> problems;
        std::string unusable{}; // "line 3: invalid xtext encoding of id"
    };
    static parsed parse(std::string_view text);

    // "plain:<base64 id>:<base64 password>": one client secret for the empty selector; null if it is not of
    // that form.
    static std::shared_ptr<const secrets> parse_inline(std::string_view text);

    // -- for the server
    // Null if there is none. `type` in lower case.
    const secret_entry* server(std::string_view type, std::string_view id) const;
    bool has_server(std::string_view type) const;
    unknown_names& unknown() const noexcept { return unknown_; }
    // The exact address comes before ranges, narrow ranges before wide ones.
    const trusted_address* trusted(std::string_view address) const;

    // -- for the client
    const secret_entry* client(std::string_view type, std::string_view selector) const;
    bool has_selector(std::string_view selector) const { return selectors_.contains(std::string(selector)); }
    bool has_clients() const { return !selectors_.empty(); }

private:
    friend class secrets_reader;
    using table = std::unordered_map<std::string, std::unique_ptr<secret_entry>>;

    table servers_; // by type, NUL, id
    table clients_; // by type, NUL, selector
    std::unordered_set<std::string> server_types_;
    std::unordered_set<std::string> selectors_; // also of lines with a type that nobody knows
    std::vector<trusted_address> trusted_;      // in the order in which they are tried
    mutable unknown_names unknown_;
};

} // namespace sasl
