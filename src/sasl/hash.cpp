// Digests, HMAC and PBKDF2 go through OpenSSL's current interface. Masked secrets need what that interface
// hides: the chaining state of a hash. The context structures of OpenSSL's older interface show it. They are
// marked as deprecated since 3.0 in favour of the interface that hides it, are part of the library's stable
// ABI for all of 3.x, and are used in hmac_state() and hmac_from_state() alone.
#define OPENSSL_SUPPRESS_DEPRECATED
#include "sasl/hash.hpp"

#include "base/text.hpp"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/md5.h>
#include <openssl/sha.h>

#include <algorithm>
#include <cassert>
#include <cstdint>
#include <limits>
#include <type_traits>

namespace sasl {

namespace {

const unsigned char* octets(std::string_view text) noexcept {
    return reinterpret_cast<const unsigned char*>(text.data());
}

unsigned char* octets(std::string& text) noexcept {
    return reinterpret_cast<unsigned char*>(text.data());
}

const EVP_MD* algorithm(hash_function hash) noexcept {
    switch (hash) {
    case hash_function::md5:
        return EVP_md5();
    case hash_function::sha1:
        return EVP_sha1();
    case hash_function::sha256:
        return EVP_sha256();
    case hash_function::sha512:
        return EVP_sha512();
    }
    return nullptr;
}

// One hash function as a context whose chaining state can be taken out and put in. `words` points at the
// words of the state.
template <class Context, class Word, std::size_t Words, std::size_t Block>
struct stateful {
    using word = Word;
    static constexpr std::size_t words = Words;
    static constexpr std::size_t block = Block;
    static constexpr std::size_t state_size = Words * sizeof(Word);

    stateful() = default;
    stateful(const stateful&) = delete;
    stateful& operator=(const stateful&) = delete;
    ~stateful() { OPENSSL_cleanse(&context, sizeof context); }

    Context context{};
};

struct md5_hash : stateful<MD5_CTX, std::uint32_t, 4, MD5_CBLOCK> {
    md5_hash() { MD5_Init(&context); }
    std::array<MD5_LONG*, 4> state() { return {&context.A, &context.B, &context.C, &context.D}; }
    void count_block() { context.Nl = MD5_CBLOCK * 8; }
    void update(std::string_view text) { MD5_Update(&context, text.data(), text.size()); }
    void finish(unsigned char* out) { MD5_Final(out, &context); }
    static constexpr std::size_t size = MD5_DIGEST_LENGTH;
};

struct sha1_hash : stateful<SHA_CTX, std::uint32_t, 5, SHA_CBLOCK> {
    sha1_hash() { SHA1_Init(&context); }
    std::array<SHA_LONG*, 5> state() {
        return {&context.h0, &context.h1, &context.h2, &context.h3, &context.h4};
    }
    void count_block() { context.Nl = SHA_CBLOCK * 8; }
    void update(std::string_view text) { SHA1_Update(&context, text.data(), text.size()); }
    void finish(unsigned char* out) { SHA1_Final(out, &context); }
    static constexpr std::size_t size = SHA_DIGEST_LENGTH;
};

struct sha256_hash : stateful<SHA256_CTX, std::uint32_t, 8, SHA256_CBLOCK> {
    sha256_hash() { SHA256_Init(&context); }
    std::array<SHA_LONG*, 8> state() {
        std::array<SHA_LONG*, 8> all{};
        for (std::size_t i = 0; i < all.size(); ++i)
            all[i] = &context.h[i];
        return all;
    }
    void count_block() { context.Nl = SHA256_CBLOCK * 8; }
    void update(std::string_view text) { SHA256_Update(&context, text.data(), text.size()); }
    void finish(unsigned char* out) { SHA256_Final(out, &context); }
    static constexpr std::size_t size = SHA256_DIGEST_LENGTH;
};

struct sha512_hash : stateful<SHA512_CTX, std::uint64_t, 8, SHA512_CBLOCK> {
    sha512_hash() { SHA512_Init(&context); }
    std::array<SHA_LONG64*, 8> state() {
        std::array<SHA_LONG64*, 8> all{};
        for (std::size_t i = 0; i < all.size(); ++i)
            all[i] = &context.h[i];
        return all;
    }
    void count_block() { context.Nl = SHA512_CBLOCK * 8; }
    void update(std::string_view text) { SHA512_Update(&context, text.data(), text.size()); }
    void finish(unsigned char* out) { SHA512_Final(out, &context); }
    static constexpr std::size_t size = SHA512_DIGEST_LENGTH;
};

// Calls `use` with a value of the type for `hash`.
template <class Use>
auto with_type_of(hash_function hash, Use use) {
    switch (hash) {
    case hash_function::sha1:
        return use(std::type_identity<sha1_hash>());
    case hash_function::sha256:
        return use(std::type_identity<sha256_hash>());
    case hash_function::sha512:
        return use(std::type_identity<sha512_hash>());
    case hash_function::md5:
        break;
    }
    return use(std::type_identity<md5_hash>());
}

template <class Hash>
void append_state(base::secret_text& out, Hash& from) {
    for (auto* word : from.state())
        for (std::size_t i = 0; i < sizeof(typename Hash::word); ++i)
            out.append(1, static_cast<char>(*word >> 8 * i & 0xff)); // little-endian, whatever the hash
}

// The hash as it is after the one key block.
template <class Hash>
void set_state(Hash& to, std::string_view bytes) {
    std::size_t at = 0;
    for (auto* word : to.state()) {
        typename Hash::word value = 0;
        for (std::size_t i = 0; i < sizeof value; ++i)
            value |= typename Hash::word{static_cast<unsigned char>(bytes[at++])} << 8 * i;
        *word = value;
    }
    to.count_block();
}

// The key block of RFC 2104 section 2, mixed with `pad`.
template <class Hash>
base::secret_text key_block(std::string_view key, unsigned char pad) {
    std::array<char, Hash::block> mixed;
    mixed.fill(static_cast<char>(pad));
    for (std::size_t i = 0; i < key.size(); ++i)
        mixed[i] = static_cast<char>(static_cast<unsigned char>(key[i]) ^ pad);
    base::secret_text out(std::string_view(mixed.data(), mixed.size()));
    base::wipe(mixed.data(), mixed.size());
    return out;
}

constexpr unsigned char inner_pad = 0x36, outer_pad = 0x5c;

} // namespace

std::string_view name_of(hash_function hash) noexcept {
    switch (hash) {
    case hash_function::md5:
        return "md5";
    case hash_function::sha1:
        return "sha1";
    case hash_function::sha256:
        return "sha256";
    case hash_function::sha512:
        return "sha512";
    }
    return {};
}

std::optional<hash_function> hash_named(std::string_view name) noexcept {
    for (hash_function hash : hash_functions)
        if (base::iequals(name, name_of(hash)))
            return hash;
    return std::nullopt;
}

std::string digest(hash_function hash, std::string_view text) {
    std::string out(EVP_MAX_MD_SIZE, '\0');
    unsigned size = 0;
    EVP_Digest(text.data(), text.size(), octets(out), &size, algorithm(hash), nullptr);
    out.resize(size);
    return out;
}

std::string hmac(hash_function hash, std::string_view key, std::string_view text) {
    assert(key.size() <= std::size_t{std::numeric_limits<int>::max()});
    std::string out(EVP_MAX_MD_SIZE, '\0');
    unsigned size = 0;
    // An empty key still needs an address: null would mean "the key of last time".
    const char* bytes = key.empty() ? "" : key.data();
    HMAC(algorithm(hash), bytes, static_cast<int>(key.size()), octets(text), text.size(), octets(out), &size);
    out.resize(size);
    return out;
}

base::secret_text pbkdf2(hash_function hash, std::string_view password, std::string_view salt,
                         unsigned iterations) {
    std::array<unsigned char, EVP_MAX_MD_SIZE> key;
    const int size = EVP_MD_get_size(algorithm(hash));
    PKCS5_PBKDF2_HMAC(password.empty() ? "" : password.data(), static_cast<int>(password.size()),
                      octets(salt), static_cast<int>(salt.size()), static_cast<int>(iterations),
                      algorithm(hash), size, key.data());
    base::secret_text out(
        std::string_view(reinterpret_cast<const char*>(key.data()), static_cast<std::size_t>(size)));
    base::wipe(key.data(), key.size());
    return out;
}

base::secret_text hmac_state(hash_function hash, std::string_view password) {
    return with_type_of(hash, [&](auto type) {
        using chosen = typename decltype(type)::type;
        std::string short_key;
        if (password.size() > chosen::block)
            short_key = digest(hash, password);
        const std::string_view key = short_key.empty() ? password : std::string_view(short_key);
        base::secret_text out;
        for (unsigned char pad : {inner_pad, outer_pad}) {
            chosen context;
            context.update(key_block<chosen>(key, pad).view());
            append_state(out, context);
        }
        base::wipe(short_key);
        return out;
    });
}

std::size_t hmac_state_size(hash_function hash) noexcept {
    return with_type_of(hash, [](auto type) { return 2 * decltype(type)::type::state_size; });
}

std::string hmac_from_state(hash_function hash, std::string_view state, std::string_view text) {
    return with_type_of(hash, [&](auto type) {
        using chosen = typename decltype(type)::type;
        assert(state.size() == 2 * chosen::state_size);
        std::string out(chosen::size, '\0');
        chosen inner;
        set_state(inner, state.substr(0, chosen::state_size));
        inner.update(text);
        inner.finish(octets(out));
        chosen outer;
        set_state(outer, state.substr(chosen::state_size));
        outer.update(out);
        outer.finish(octets(out));
        return out;
    });
}

std::string dotted_form(std::string_view md5_state) {
    std::string out;
    for (std::size_t at = 0; at + 4 <= md5_state.size(); at += 4) {
        std::uint32_t word = 0;
        for (std::size_t i = 0; i < 4; ++i)
            word |= std::uint32_t{static_cast<unsigned char>(md5_state[at + i])} << 8 * i;
        out += (at == 0 ? "" : ".") + std::to_string(word);
    }
    return out;
}

std::optional<base::secret_text> from_dotted_form(std::string_view text) {
    base::secret_text out;
    for (std::size_t fields = 8; fields-- > 0;) {
        const std::size_t end = std::min(text.find('.'), text.size());
        const auto word = base::to_number(text.substr(0, end));
        if (!word || *word > std::numeric_limits<std::uint32_t>::max() ||
            (fields == 0) != (end == text.size()))
            return std::nullopt;
        for (unsigned i = 0; i < 4; ++i)
            out.append(1, static_cast<char>(*word >> 8 * i & 0xff));
        text.remove_prefix(std::min(end + 1, text.size()));
    }
    return out;
}

std::string to_hex(std::string_view bytes) {
    static constexpr std::string_view hex = "0123456789abcdef";
    std::string out;
    out.reserve(2 * bytes.size());
    for (char c : bytes) {
        const auto byte = static_cast<unsigned char>(c);
        out += hex[byte >> 4];
        out += hex[byte & 15];
    }
    return out;
}

// Digests have one length; comparing them says nothing about the lengths of the texts.
bool equal_in_constant_time(std::string_view known, std::string_view given) {
    const std::string a = digest(hash_function::sha256, known), b = digest(hash_function::sha256, given);
    return CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

} // namespace sasl
