#include "sasl/client.hpp"

#include "base/base64.hpp"
#include "base/text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace sasl {

using namespace std::string_literals;

namespace {

constexpr std::string_view separator = "\x01"; // between the pairs of OAUTHBEARER and XOAUTH2

struct server_first {
    std::string_view nonce;
    std::string salt;
    unsigned iterations = 0;
};

// "r=...,s=...,i=..." of SCRAM (RFC 5802 section 7), with what we are willing to compute.
std::optional<server_first> read_server_first(std::string_view message) {
    const auto nonce = take_attribute(message, 'r');
    if (!nonce)
        return std::nullopt;
    const auto salt = take_attribute(message, 's');
    if (!salt)
        return std::nullopt;
    const auto count = take_attribute(message, 'i');
    if (!count)
        return std::nullopt;
    auto decoded = base::base64_decode(*salt);
    const auto iterations = base::to_number(*count).value_or(0);
    if (!decoded || decoded->empty() || iterations < fewest_iterations || iterations > most_iterations)
        return std::nullopt;
    return server_first{*nonce, std::move(*decoded), static_cast<unsigned>(iterations)};
}

} // namespace

// ---- choosing

client::client(std::shared_ptr<const secrets> known, std::shared_ptr<const mechanism_rules> rules)
    : secrets_(std::move(known)), rules_(std::move(rules)) {}

client::account client::find(std::string_view selector) const {
    if (!secrets_ || !secrets_->has_selector(selector))
        return selector.empty() ? account::none_needed : account::unknown;
    const secret_entry* plain = secrets_->client("plain", selector);
    const bool empty = plain != nullptr && plain->id.empty() && plain->secret.empty();
    return empty ? account::none_needed : account::there;
}

std::vector<candidate> client::candidates(std::string_view selector, bool encrypted, bool can_bind,
                                          std::span<const std::string> offered) const {
    std::vector<candidate> out;
    if (!secrets_)
        return out;
    const secret_entry* plain = secrets_->client("plain", selector);
    for (mechanism m : all_mechanisms()) {
        const bool on_offer = std::ranges::any_of(
            offered, [m](const std::string& name) { return base::iequals(name, name_of(m)); });
        if (!on_offer || !rules_->allow(m, encrypted))
            continue;
        const secret_entry* with = plain;
        if (m == mechanism::oauthbearer || m == mechanism::xoauth2)
            with = secrets_->client("oauth", selector);
        else if (const auto hash = cram_hash(m); hash && with == nullptr)
            with = secrets_->client(name_of(*hash), selector);
        if (with != nullptr && m != mechanism::apop && (can_bind || !has_channel_binding(m)))
            out.push_back({m, with});
    }
    return out;
}

bool client::would_bind(bool encrypted) const {
    return rules_ && rules_->allow(mechanism::scram_sha_256_plus, encrypted);
}

// ---- one exchange

client_exchange::client_exchange(candidate chosen, client_facts facts)
    : chosen_(chosen), facts_(std::move(facts)) {}

// The first thing we say; what it is does not depend on when it is asked for.
base::secret_text client_exchange::first() const {
    switch (chosen_.how) {
    case mechanism::plain: {
        base::secret_text text("\0"s + chosen_.with->id + "\0"s);
        text.append(chosen_.with->secret.view());
        return text;
    }
    case mechanism::login:
        return base::secret_text(chosen_.with->id);
    case mechanism::xoauth2:
        return chosen_.with->secret;
    case mechanism::oauthbearer:
        return oauthbearer();
    default:
        return base::secret_text(gs2_header() + first_bare_);
    }
}

std::optional<base::secret_text> client_exchange::initial_response() {
    if (cram_hash(chosen_.how))
        return std::nullopt;
    if (is_scram(chosen_.how) && first_bare_.empty()) {
        const auto name = saslprep(chosen_.with->id);
        first_bare_ =
            fmt::format("n={},r={}", scram_encode_name(name.value_or(chosen_.with->id)), facts_.nonce);
    }
    sent_ = 1;
    return first();
}

client_step client_exchange::respond(std::string_view challenge) {
    if (const auto hash = cram_hash(chosen_.how)) {
        if (sent_++ > 0)
            return cancel{};
        const secret_entry& secret = *chosen_.with;
        if (secret.type != "plain" && secret.secret.size() != hmac_state_size(*hash))
            return cancel{};
        const std::string answer = secret.type == "plain"
                                       ? hmac(*hash, secret.secret.view(), challenge)
                                       : hmac_from_state(*hash, secret.secret.view(), challenge);
        return response{base::secret_text(secret.id + " " + to_hex(answer))};
    }
    if (sent_ == 0)
        return response{*initial_response()};
    const bool second = sent_++ == 1;
    switch (chosen_.how) {
    case mechanism::login:
        return second ? client_step(response{chosen_.with->secret}) : cancel{};
    case mechanism::xoauth2: // the refusal in words, which wants to be acknowledged
        return second ? client_step(response{}) : cancel{};
    case mechanism::oauthbearer: // RFC 7628 section 3.2.3
        return second ? client_step(response{base::secret_text(separator)}) : cancel{};
    case mechanism::scram_sha_256:
    case mechanism::scram_sha_256_plus:
        return scram_answer(challenge);
    default:
        return cancel{};
    }
}

bool client_exchange::satisfied() const noexcept {
    return !is_scram(chosen_.how) || server_proved_;
}

// Out of the same secret as XOAUTH2: "user=<user>^Aauth=Bearer <token>^A^A".
base::secret_text client_exchange::oauthbearer() const {
    std::string_view given = chosen_.with->secret.view();
    if (given.starts_with("n,"))
        return chosen_.with->secret;
    std::string_view user, token;
    while (!given.empty()) {
        const std::size_t end = std::min(given.find(separator), given.size());
        const std::string_view pair = given.substr(0, end);
        if (pair.starts_with("user="))
            user = pair.substr(5);
        else if (pair.starts_with("auth="))
            token = pair;
        given.remove_prefix(std::min(end + 1, given.size()));
    }
    base::secret_text text(fmt::format("n,a={},{}", scram_encode_name(user), separator));
    text.append(token);
    text.append(separator);
    text.append(separator);
    return text;
}

// ---- SCRAM (RFC 5802 section 5)

std::string client_exchange::gs2_header() const {
    if (has_channel_binding(chosen_.how))
        return "p=" + facts_.bindings.front().type + ",,";
    return facts_.could_bind ? "y,," : "n,,";
}

client_step client_exchange::scram_answer(std::string_view challenge) {
    if (sent_ == 2)
        return scram_first(challenge);
    if (sent_ == 3 && challenge.starts_with("v="))
        return scram_last(challenge.substr(2));
    return cancel{};
}

client_step client_exchange::scram_first(std::string_view challenge) {
    auto given = read_server_first(challenge);
    const std::string& ours = facts_.nonce;
    if (!given || !given->nonce.starts_with(ours) || given->nonce.size() == ours.size())
        return cancel{};
    salt_ = std::move(given->salt);
    iterations_ = given->iterations;
    std::string bound = gs2_header();
    if (has_channel_binding(chosen_.how))
        bound += facts_.bindings.front().data;
    without_proof_ = fmt::format("c={},r={}", base::base64_encode(bound), given->nonce);
    auth_message_ = fmt::format("{},{},{}", first_bare_, challenge, without_proof_);
    return client_compute{};
}

client_step client_exchange::scram_last(std::string_view signature) {
    const auto proof = base::base64_decode(signature.substr(0, signature.find(',')));
    const scram_keys keys = scram_keys_from(salted_.view());
    server_proved_ = proof && equal_in_constant_time(
                                  scram_server_signature(keys.server_key.view(), auth_message_), *proof);
    if (server_proved_)
        return response{};
    return cancel{};
}

void client_exchange::compute() {
    auto password = saslprep(chosen_.with->secret.view());
    if (!password)
        return;
    const base::secret_text prepared = base::secret_text::taken_from(*password);
    salted_ = scram_salted_password(prepared.view(), salt_, iterations_);
}

client_step client_exchange::computed() {
    if (salted_.empty())
        return cancel{};
    return response{base::secret_text(
        without_proof_ + ",p=" + base::base64_encode(scram_proof(salted_.view(), auth_message_)))};
}

} // namespace sasl
