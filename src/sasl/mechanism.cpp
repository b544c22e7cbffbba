#include "sasl/mechanism.hpp"

#include "base/text.hpp"

#include <algorithm>
#include <array>

namespace sasl {

namespace {

struct row {
    mechanism what;
    std::string_view name;
    // Beyond what there always was: used only when a list names it.
    bool opt_in = false;
    std::optional<hash_function> cram{};
};

constexpr std::array<row, 11> rows{{
    {mechanism::scram_sha_256_plus, "SCRAM-SHA-256-PLUS", true},
    {mechanism::scram_sha_256, "SCRAM-SHA-256", true},
    {mechanism::cram_sha512, "CRAM-SHA512", false, hash_function::sha512},
    {mechanism::cram_sha256, "CRAM-SHA256", false, hash_function::sha256},
    {mechanism::cram_sha1, "CRAM-SHA1", false, hash_function::sha1},
    {mechanism::cram_md5, "CRAM-MD5", false, hash_function::md5},
    {mechanism::oauthbearer, "OAUTHBEARER", true},
    {mechanism::xoauth2, "XOAUTH2"},
    {mechanism::plain, "PLAIN"},
    {mechanism::login, "LOGIN"},
    {mechanism::apop, "APOP"},
}};

constexpr auto mechanisms = [] {
    std::array<mechanism, rows.size()> all{};
    std::ranges::transform(rows, all.begin(), &row::what);
    return all;
}();

const row& row_of(mechanism m) noexcept {
    return *std::ranges::find(rows, m, &row::what);
}

bool names(const std::vector<std::string>& list, std::string_view name) {
    return std::ranges::any_of(list, [name](const std::string& one) { return base::iequals(one, name); });
}

} // namespace

std::span<const mechanism> all_mechanisms() noexcept {
    return mechanisms;
}

std::string_view name_of(mechanism m) noexcept {
    return row_of(m).name;
}

std::string log_name(mechanism m) {
    return base::to_lower(name_of(m));
}

std::optional<mechanism> mechanism_named(std::string_view name) noexcept {
    const auto found =
        std::ranges::find_if(rows, [name](const row& r) { return base::iequals(r.name, name); });
    return found == rows.end() ? std::nullopt : std::optional(found->what);
}

std::optional<hash_function> cram_hash(mechanism m) noexcept {
    return row_of(m).cram;
}

bool is_scram(mechanism m) noexcept {
    return m == mechanism::scram_sha_256 || m == mechanism::scram_sha_256_plus;
}

bool has_channel_binding(mechanism m) noexcept {
    return m == mechanism::scram_sha_256_plus;
}

mechanism_rules mechanism_rules::parse(std::string_view text, bool bare_word_counts) {
    mechanism_rules out;
    const std::vector<std::string> items = base::split(text, ';');
    for (const std::string& item : items) {
        std::string_view list = base::trim(item);
        std::string kind = base::to_lower(list.substr(0, 2));
        if (bare_word_counts && items.size() == 1 && !list.empty() &&
            list.find(':') == std::string_view::npos)
            kind = "m:";
        else if (kind.size() == 2 && kind[1] == ':')
            list.remove_prefix(2);
        else
            continue;

        const bool for_encrypted = kind == "a:" || kind == "d:";
        lists& to = for_encrypted ? out.encrypted_ : out.always_;
        out.distinguishes_ = out.distinguishes_ || for_encrypted;
        const bool allows = kind == "m:" || kind == "a:";
        if (!allows && kind != "x:" && kind != "d:")
            continue;
        if (allows && !to.only)
            to.only.emplace();
        for (const std::string& name : base::split(list, ','))
            if (const std::string_view word = base::trim(name); !word.empty())
                (allows ? *to.only : to.never).emplace_back(word);
    }
    return out;
}

bool mechanism_rules::allow(mechanism m, bool encrypted) const {
    const lists& rules = encrypted && distinguishes_ ? encrypted_ : always_;
    const row& r = row_of(m);
    if (names(rules.never, r.name))
        return false;
    return rules.only ? names(*rules.only, r.name) : !r.opt_in;
}

} // namespace sasl
