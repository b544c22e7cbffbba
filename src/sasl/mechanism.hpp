// The mechanisms that there are, and the lists of --server-auth-config and --client-auth-config that choose
// among them (spec/authentication.md sections 3, 4.2, 7).
#pragma once

#include "sasl/hash.hpp"

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace sasl {

enum class mechanism {
    scram_sha_256_plus,
    scram_sha_256,
    cram_sha512,
    cram_sha256,
    cram_sha1,
    cram_md5,
    oauthbearer, // client only
    xoauth2,     // client only
    plain,
    login,
    apop, // POP's command of that name, for the lists; not a SASL mechanism
};

// In the order in which they are offered and tried.
std::span<const mechanism> all_mechanisms() noexcept;

std::string_view name_of(mechanism m) noexcept;                           // "CRAM-MD5"
std::string log_name(mechanism m);                                        // "cram-md5"
std::optional<mechanism> mechanism_named(std::string_view name) noexcept; // any case

// The hash of the CRAM family.
std::optional<hash_function> cram_hash(mechanism m) noexcept;
bool is_scram(mechanism m) noexcept;
bool has_channel_binding(mechanism m) noexcept; // a -PLUS mechanism

// The lists: "m:plain,login;x:login;a:plain;d:login".
class mechanism_rules {
public:
    // `bare_word_counts`: a single name without a prefix stands for a list "m:" with that name; otherwise
    // words without a prefix are ignored.
    static mechanism_rules parse(std::string_view text, bool bare_word_counts);

    bool allow(mechanism m, bool encrypted) const;

private:
    struct lists {
        std::optional<std::vector<std::string>> only;
        std::vector<std::string> never;
    };
    lists always_, encrypted_;
    bool distinguishes_ = false; // encrypted_ counts for encrypted sessions
};

} // namespace sasl
