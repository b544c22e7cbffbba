#include "sasl/scram.hpp"

#include "base/text.hpp"
#include "sasl/hash.hpp"

#include <stringprep.h>

#include <cstdlib>
#include <memory>

namespace sasl {

namespace {

constexpr hash_function sha = hash_function::sha256;

std::string combined(std::string_view a, std::string_view b) {
    std::string out(a);
    for (std::size_t i = 0; i < out.size(); ++i)
        out[i] = static_cast<char>(static_cast<unsigned char>(out[i]) ^ static_cast<unsigned char>(b[i]));
    return out;
}

} // namespace

base::secret_text scram_salted_password(std::string_view password, std::string_view salt,
                                        unsigned iterations) {
    return pbkdf2(sha, password, salt, iterations);
}

scram_keys scram_keys_from(std::string_view salted_password) {
    std::string client_key = hmac(sha, salted_password, "Client Key");
    std::string stored_key = digest(sha, client_key);
    std::string server_key = hmac(sha, salted_password, "Server Key");
    base::wipe(client_key);
    return {base::secret_text::taken_from(stored_key), base::secret_text::taken_from(server_key)};
}

std::string scram_proof(std::string_view salted_password, std::string_view auth_message) {
    std::string client_key = hmac(sha, salted_password, "Client Key");
    std::string stored_key = digest(sha, client_key);
    std::string proof = combined(client_key, hmac(sha, stored_key, auth_message));
    base::wipe(client_key);
    base::wipe(stored_key);
    return proof;
}

bool scram_proof_is_right(const scram_keys& keys, std::string_view auth_message, std::string_view proof) {
    const std::string signature = hmac(sha, keys.stored_key.view(), auth_message);
    if (proof.size() != signature.size())
        return false;
    std::string client_key = combined(proof, signature);
    const bool right = equal_in_constant_time(keys.stored_key.view(), digest(sha, client_key));
    base::wipe(client_key);
    return right;
}

std::string scram_server_signature(std::string_view server_key, std::string_view auth_message) {
    return hmac(sha, server_key, auth_message);
}

std::optional<std::string_view> take_attribute(std::string_view& message, char name) {
    if (message.size() < 2 || message[0] != name || message[1] != '=')
        return std::nullopt;
    const std::size_t end = std::min(message.find(','), message.size());
    const std::string_view value = message.substr(2, end - 2);
    message.remove_prefix(std::min(end + 1, message.size()));
    return value;
}

std::string scram_encode_name(std::string_view name) {
    std::string out;
    for (char c : name) {
        if (c == ',')
            out += "=2C";
        else if (c == '=')
            out += "=3D";
        else
            out += c;
    }
    return out;
}

std::optional<std::string> scram_decode_name(std::string_view text) {
    std::string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] != '=') {
            out += text[i];
            continue;
        }
        const std::string_view code = text.substr(i, 3);
        if (code != "=2C" && code != "=3D")
            return std::nullopt;
        out += code == "=2C" ? ',' : '=';
        i += 2;
    }
    return out;
}

std::optional<std::string> saslprep(std::string_view text) {
    if (text.find('\0') != std::string_view::npos)
        return std::nullopt;
    std::string in(text);
    char* prepared = nullptr;
    const int failure =
        stringprep_profile(in.c_str(), &prepared, "SASLprep", static_cast<Stringprep_profile_flags>(0));
    base::wipe(in);
    if (failure != STRINGPREP_OK)
        return std::nullopt;
    std::string out = prepared;
    base::wipe(prepared, out.size());
    std::free(prepared); // the library's allocation
    return out;
}

} // namespace sasl
