// What both sides of SCRAM-SHA-256 compute and write (RFC 5802, 7677; channel bindings of RFC 5929, 9266).
//
// Pure text work and arithmetic; the exchanges themselves are in server.cpp and client.cpp.
#pragma once

#include "base/secret_text.hpp"

#include <optional>
#include <string>
#include <string_view>

namespace sasl {

// A name for the TLS connection below that both ends know and nobody between them can have.
struct channel_binding {
    std::string type; // "tls-exporter", "tls-server-end-point"
    std::string data;
};

// Made of a password; enough to check a client, and to be believed by it.
struct scram_keys {
    base::secret_text stored_key;
    base::secret_text server_key;
};

// Fewer iterations protect nothing (RFC 7677 section 4); more than these somebody else shall not make us do.
inline constexpr unsigned fewest_iterations = 4096, most_iterations = 1'000'000;
// What our server asks for; some milliseconds.
inline constexpr unsigned our_iterations = 15'000;

base::secret_text scram_salted_password(std::string_view password, std::string_view salt,
                                        unsigned iterations);
scram_keys scram_keys_from(std::string_view salted_password);

// ClientProof, and whether one is right.
std::string scram_proof(std::string_view salted_password, std::string_view auth_message);
bool scram_proof_is_right(const scram_keys& keys, std::string_view auth_message, std::string_view proof);
std::string scram_server_signature(std::string_view server_key, std::string_view auth_message);

// Takes "r=" and its value off a message "r=...,s=...,i=..."; nothing when something else comes first.
std::optional<std::string_view> take_attribute(std::string_view& message, char name);

// "," and "=" in names.
std::string scram_encode_name(std::string_view name);
std::optional<std::string> scram_decode_name(std::string_view text);

// Names and passwords in the one form in which they are compared (RFC 4013); nothing when they have none.
std::optional<std::string> saslprep(std::string_view text);

} // namespace sasl
