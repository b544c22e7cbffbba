// Whoever is not known is treated as if there were a secret: the same steps, the same challenges, the same
// comparisons, so that names cannot be found out by asking.
#include "sasl/server.hpp"

#include "base/base64.hpp"
#include "base/text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>

namespace sasl {

namespace {

// Octets of a name as it comes, before login: preparing long ones takes the network thread's time. RFC 4422
// has no limit; nobody is called more than this.
constexpr std::size_t longest_prepared_name = 255;

// Nobody's password: compared with when there is no secret.
constexpr std::string_view nobody = "*";

verdict judge(mechanism m, bool success, std::string_view id, const secret_entry* entry,
              std::string fault = {}) {
    const std::string name = log_name(m);
    std::string with =
        entry != nullptr ? entry->description() : fmt::format("missing secret for [{}]", base::printable(id));
    return {success, std::string(id), name, fmt::format("mechanism [{}] and {}", name, with),
            std::move(fault)};
}

verdict asked_verdict(const ask_password& asked, bool success) {
    const std::string name = log_name(mechanism::plain);
    return {success,
            asked.id,
            name,
            fmt::format("mechanism [{}] and pam secret for [{}]", name, base::printable(asked.id)),
            {}};
}

} // namespace

verdict passed(const ask_password& asked) {
    return asked_verdict(asked, true);
}

verdict failed(const ask_password& asked) {
    return asked_verdict(asked, false);
}

// ---- server

server::server(std::shared_ptr<const secrets> known, std::shared_ptr<const mechanism_rules> rules,
               std::shared_ptr<const base::secret_text> salt_key)
    : secrets_(std::move(known)), rules_(std::move(rules)), salt_key_(std::move(salt_key)) {}

server::server(std::shared_ptr<const mechanism_rules> rules) : rules_(std::move(rules)) {}

// Whether the secrets are fit for it, whatever the rules say.
bool server::has(mechanism m) const {
    if (!secrets_)
        return m == mechanism::plain;
    if (m == mechanism::xoauth2 || m == mechanism::oauthbearer)
        return false;
    if (secrets_->has_server("plain"))
        return true;
    const auto hash = cram_hash(m);
    return hash && secrets_->has_server(name_of(*hash));
}

bool server::offers(mechanism m, bool encrypted, bool can_bind) const {
    const auto all = mechanisms(encrypted, can_bind);
    return std::ranges::find(all, m) != all.end();
}

std::vector<mechanism> server::mechanisms(bool encrypted, bool can_bind) const {
    std::vector<mechanism> out;
    bool usable = false;
    for (mechanism m : all_mechanisms()) {
        if (m == mechanism::apop || !has(m))
            continue;
        usable = true;
        const bool possible = !has_channel_binding(m) || (encrypted && can_bind);
        if (possible && rules_->allow(m, encrypted))
            out.push_back(m);
    }
    // Without any secret PLAIN is there to be refused, once nobody can listen.
    if (!usable && encrypted && rules_->allow(mechanism::plain, true))
        out.push_back(mechanism::plain);
    return out;
}

bool server::offers_apop(bool encrypted) const {
    return secrets_ && secrets_->has_server("plain") && rules_->allow(mechanism::apop, encrypted);
}

const trusted_address* server::trusted(std::string_view address) const {
    return secrets_ ? secrets_->trusted(address) : nullptr;
}

step server::check_password(std::string_view id, std::string_view password) const {
    if (!secrets_)
        return ask_password{std::string(id), base::secret_text(password)};
    const secret_entry* entry = secrets_->server("plain", id);
    const bool same = equal_in_constant_time(entry != nullptr ? entry->secret.view() : nobody, password);
    return judge(mechanism::plain, same && entry != nullptr, id, entry);
}

verdict server::check_apop(std::string_view challenge, std::string_view id,
                           std::string_view hex_digest) const {
    const secret_entry* entry = secrets_ ? secrets_->server("plain", id) : nullptr;
    base::secret_text text(challenge);
    text.append(entry != nullptr ? entry->secret.view() : nobody);
    const std::string wanted = to_hex(digest(hash_function::md5, text.view()));
    const bool same = equal_in_constant_time(wanted, base::to_lower(hex_digest));
    return judge(mechanism::apop, same && entry != nullptr, id, entry);
}

// ---- one exchange

server_exchange::server_exchange(const server& by, mechanism m, exchange_facts facts)
    : server_(by), mechanism_(m), facts_(std::move(facts)) {}

bool server_exchange::takes_initial_response() const noexcept {
    return !cram_hash(mechanism_);
}

step server_exchange::begin(std::optional<std::string_view> initial_response) {
    if (cram_hash(mechanism_))
        return challenge{facts_.challenge};
    if (initial_response)
        return respond(*initial_response);
    return challenge{mechanism_ == mechanism::login ? "Username:" : ""};
}

step server_exchange::respond(std::string_view response) {
    const bool first = answers_++ == 0;
    if (cram_hash(mechanism_))
        return cram(response);
    if (is_scram(mechanism_)) {
        if (first)
            return scram_first(response);
        return succeeded_ ? step(judged(response.empty(), id_, entry_)) : scram_final(response);
    }
    if (mechanism_ == mechanism::login)
        return first ? login_name(response) : login_password(response);
    return plain(response);
}

verdict server_exchange::judged(bool success, std::string_view id, const secret_entry* entry,
                                std::string fault) const {
    return judge(mechanism_, success, id, entry, std::move(fault));
}

// RFC 4616: [authzid] NUL authcid NUL passwd. Nobody may act for somebody else: the first part is ignored.
step server_exchange::plain(std::string_view message) {
    const std::size_t first = message.find('\0');
    const std::size_t second = first == std::string_view::npos ? first : message.find('\0', first + 1);
    if (second == std::string_view::npos || message.find('\0', second + 1) != std::string_view::npos)
        return judged(false, {}, nullptr);
    return server_.check_password(message.substr(first + 1, second - first - 1), message.substr(second + 1));
}

step server_exchange::login_name(std::string_view name) {
    id_ = name;
    return challenge{"Password:"};
}

step server_exchange::login_password(std::string_view password) {
    step checked = server_.check_password(id_, password);
    if (const auto* v = std::get_if<verdict>(&checked))
        return judged(v->success, id_, server_.secrets_->server("plain", id_));
    return checked;
}

// RFC 2195 section 2: the name may hold blanks, the digest does not.
step server_exchange::cram(std::string_view response) {
    const hash_function hash = *cram_hash(mechanism_);
    const std::size_t blank = response.rfind(' ');
    if (blank == std::string_view::npos || !server_.secrets_)
        return judged(false, {}, nullptr);
    const std::string_view id = response.substr(0, blank);
    const secret_entry* entry = server_.secrets_->server("plain", id);
    const bool masked = entry == nullptr;
    if (masked)
        entry = server_.secrets_->server(name_of(hash), id);
    if (masked && entry != nullptr && entry->secret.size() != hmac_state_size(hash))
        return judged(false, id, entry, fmt::format("invalid {} hash state", name_of(hash)));

    const bool by_state = masked && entry != nullptr;
    const std::string_view key = entry != nullptr ? entry->secret.view() : nobody;
    const std::string wanted =
        by_state ? hmac_from_state(hash, key, facts_.challenge) : hmac(hash, key, facts_.challenge);
    const bool same = equal_in_constant_time(to_hex(wanted), response.substr(blank + 1));
    return judged(same && entry != nullptr, id, entry);
}

// ---- SCRAM (RFC 5802 section 5)
//
// Keys are computed when a secret is used for the first time, which takes milliseconds. Names without one
// are no different: for half of them it seems to have happened before, for the others it happens once.

// The same for a name on each connection, whether there is such a user or not, and however it is spelt. Of
// the code that it is made of the client sees a part; the rest says how a name without a secret behaves.
void server_exchange::make_salt(std::string_view name) {
    constexpr std::size_t size = 16;
    const std::string code = hmac(hash_function::sha256, server_.salt_key_->view(), name);
    salt_ = code.substr(0, size);
    std::memcpy(&tag_, code.data() + size, sizeof tag_);
    seems_computed_ = (code.back() & 1) != 0;
}

// "n,a=authzid,n=user,r=nonce": client-first-message.
step server_exchange::scram_first(std::string_view message) {
    const std::size_t flag_end = message.find(',');
    const std::size_t header_end =
        flag_end == std::string_view::npos ? flag_end : message.find(',', flag_end + 1);
    if (header_end == std::string_view::npos)
        return judged(false, {}, nullptr);
    gs2_header_ = message.substr(0, header_end + 1);
    const std::string_view flag = message.substr(0, flag_end);
    const std::string_view bare = message.substr(header_end + 1);

    std::string_view rest = bare;
    const auto name = take_attribute(rest, 'n');
    const auto nonce = name ? take_attribute(rest, 'r') : std::nullopt;
    auto decoded = name ? scram_decode_name(*name) : std::nullopt;
    if (!nonce || nonce->empty() || !decoded)
        return judged(false, {}, nullptr);
    id_ = std::move(*decoded);

    if (has_channel_binding(mechanism_)) {
        const auto found = std::ranges::find_if(facts_.bindings, [flag](const channel_binding& b) {
            return flag.starts_with("p=") && flag.substr(2) == b.type;
        });
        if (found == facts_.bindings.end())
            return judged(false, id_, nullptr);
        binding_ = &*found;
    } else {
        // "y": the client could bind but was not offered it. If it was, somebody has changed our offer.
        const bool offered =
            server_.offers(mechanism::scram_sha_256_plus, facts_.encrypted, !facts_.bindings.empty());
        if (flag != "n" && (flag != "y" || offered))
            return judged(false, id_, nullptr);
    }

    const auto prepared = id_.size() <= longest_prepared_name ? saslprep(id_) : std::nullopt;
    entry_ = server_.secrets_->server("plain", id_);
    if (entry_ == nullptr && prepared)
        entry_ = server_.secrets_->server("plain", *prepared);
    make_salt(prepared ? *prepared : id_);
    nonce_ = fmt::format("{}{}", *nonce, facts_.nonce);
    const std::string first =
        fmt::format("r={},s={},i={}", nonce_, base::base64_encode(salt_), our_iterations);
    auth_message_ = fmt::format("{},{},", bare, first);
    return challenge{first};
}

// "c=binding,r=nonce,p=proof": client-final-message.
step server_exchange::scram_final(std::string_view message) {
    const std::size_t proof_at = message.rfind(",p=");
    std::string_view rest = message;
    const auto bound = take_attribute(rest, 'c');
    const auto nonce = bound ? take_attribute(rest, 'r') : std::nullopt;
    if (!nonce || proof_at == std::string_view::npos)
        return judged(false, id_, entry_);
    std::string expected = gs2_header_;
    if (binding_ != nullptr)
        expected += binding_->data;
    auto proof = base::base64_decode(message.substr(proof_at + 3));
    const bool in_step = *nonce == nonce_ && *bound == base::base64_encode(expected) && proof;
    if (!in_step)
        return judged(false, id_, entry_);
    auth_message_ += message.substr(0, proof_at);
    proof_ = std::move(*proof);
    if (is_computed())
        return scram_finish();
    return sasl::compute{};
}

bool server_exchange::is_computed() const {
    if (entry_ != nullptr)
        return entry_->scram.load() != nullptr;
    return seems_computed_ || server_.secrets_->unknown().contains(tag_);
}

// Once for each secret: the salt does not change while the process lives.
void server_exchange::compute() {
    auto prepared = entry_ != nullptr ? saslprep(entry_->secret.view()) : std::nullopt;
    const bool usable = prepared.has_value();
    const auto password = usable ? base::secret_text::taken_from(*prepared) : base::secret_text(nobody);
    const base::secret_text salted = scram_salted_password(password.view(), salt_, our_iterations);
    scram_keys keys = scram_keys_from(salted.view());
    if (entry_ == nullptr)
        server_.secrets_->unknown().add(tag_);
    else
        entry_->scram.store(std::make_shared<const scram_keys>(usable ? std::move(keys) : scram_keys()));
}

step server_exchange::computed() {
    return scram_finish();
}

step server_exchange::scram_finish() {
    static const scram_keys nobodys = scram_keys_from(nobody);
    const auto known = entry_ != nullptr ? entry_->scram.load() : nullptr;
    const bool usable = known && !known->stored_key.view().empty();
    const bool right = scram_proof_is_right(usable ? *known : nobodys, auth_message_, proof_);
    if (entry_ != nullptr && !usable)
        return judged(false, id_, entry_, "password cannot be prepared for SCRAM");
    if (!usable || !right)
        return judged(false, id_, entry_);
    succeeded_ = true;
    return challenge{"v=" +
                     base::base64_encode(scram_server_signature(known->server_key.view(), auth_message_))};
}

} // namespace sasl
