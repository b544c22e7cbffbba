// The hash functions of the mechanisms, and HMAC from a stored state (spec/authentication.md sections 3, 6;
// RFC 2104, 2195, 8018).
//
// Everything is computed by OpenSSL. Results that are as good as a password are secret_text.
#pragma once

#include "base/secret_text.hpp"

#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace sasl {

enum class hash_function { md5, sha1, sha256, sha512 };

// Strongest first.
inline constexpr std::array<hash_function, 4> hash_functions{hash_function::sha512, hash_function::sha256,
                                                             hash_function::sha1, hash_function::md5};

// "md5", "sha1", "sha256", "sha512".
std::string_view name_of(hash_function hash) noexcept;
std::optional<hash_function> hash_named(std::string_view name) noexcept; // any case

// Binary digests.
std::string digest(hash_function hash, std::string_view text);
std::string hmac(hash_function hash, std::string_view key, std::string_view text);
// PBKDF2 with HMAC, as many octets as the hash has. Takes milliseconds for thousands of iterations.
base::secret_text pbkdf2(hash_function hash, std::string_view password, std::string_view salt,
                         unsigned iterations);

// What HMAC has computed once it has seen the key: the chaining states after the inner and the outer key
// block, as octets in the order of spec/authentication.md section 6. Stands for the password in a secrets
// file.
base::secret_text hmac_state(hash_function hash, std::string_view password);
std::size_t hmac_state_size(hash_function hash) noexcept;

// The HMAC of `text` for the key that the state was made of. `state` has hmac_state_size() octets.
std::string hmac_from_state(hash_function hash, std::string_view state, std::string_view text);

// "4059553961.2316091643.….1201092398", eight numbers, for MD5 alone. Nothing if it is not of that form.
std::string dotted_form(std::string_view md5_state);
std::optional<base::secret_text> from_dotted_form(std::string_view text);

std::string to_hex(std::string_view bytes); // lower case

// Whether the texts are the same, in a time that does not depend on where they differ, nor on what `known`
// is.
bool equal_in_constant_time(std::string_view known, std::string_view given);

} // namespace sasl
