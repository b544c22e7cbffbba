#include "sasl/secrets.hpp"

#include "base/base64.hpp"
#include "base/text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace sasl {

namespace {

constexpr std::string_view blanks = " \t";

std::vector<std::string_view> fields_of(std::string_view line) {
    std::vector<std::string_view> fields;
    for (;;) {
        line.remove_prefix(std::min(line.find_first_not_of(blanks), line.size()));
        if (line.empty())
            return fields;
        const std::size_t end = std::min(line.find_first_of(blanks), line.size());
        fields.push_back(line.substr(0, end));
        line.remove_prefix(end);
    }
}

// A type as the mechanisms look for it, and how id and secret are written.
struct secret_type {
    std::string name;
    bool base64_id = false;
};

secret_type type_of(std::string_view field) {
    std::string name = base::to_lower(field);
    if (name == "login")
        return {"plain", false};
    if (name == "plain:b")
        return {"plain", true};
    if (name == "cram-md5" || name == "apop")
        return {"md5", false};
    if (name == "oauth:b")
        return {"oauth", false};
    return {std::move(name), false};
}

std::string key_of(std::string_view type, std::string_view id) {
    std::string key(type);
    key += '\0';
    key += id;
    return key;
}

std::optional<unsigned> prefix_length(std::string_view text, unsigned most) {
    const auto bits = base::to_number(text);
    if (!bits || *bits > most || (text.size() > 1 && text.front() == '0'))
        return std::nullopt;
    return static_cast<unsigned>(*bits);
}

// "192.168.*.*": whole octets, all four parts there.
std::optional<unsigned> wildcard_bits(std::string_view text, std::string& network) {
    unsigned octets = 4;
    network = text;
    for (std::size_t at = network.size(); octets > 0 && at > 0 && network[at - 1] == '*';) {
        network[--at] = '0';
        --octets;
        if (octets > 0 && (at == 0 || network[--at] != '.'))
            return std::nullopt;
    }
    return octets == 4 ? std::nullopt : std::optional(8 * octets);
}

// What is neither an address nor a range of them is compared as text: the path of a socket.
void understand(trusted_address& t) {
    const std::string_view range = t.range;
    const std::size_t slash = range.find('/');
    if (slash == 0)
        return;
    if (slash != std::string_view::npos) {
        const auto network = base::parse_ip_address(range.substr(0, slash));
        const auto bits = network ? prefix_length(range.substr(slash + 1), network->bits()) : std::nullopt;
        if (bits && is_network(*network, *bits)) { // host bits that are not zero match nobody
            t.network = network;
            t.bits = *bits;
        }
        return;
    }
    std::string network;
    if (const auto bits = wildcard_bits(range, network)) {
        t.network = base::parse_ip_address(network);
        t.bits = *bits;
        return;
    }
    t.network = base::parse_ip_address(range);
    t.bits = t.network ? t.network->bits() : 0;
}

} // namespace

secret_entry::secret_entry(std::string type_, std::string id_, base::secret_text secret_, unsigned line_)
    : type(std::move(type_)), id(std::move(id_)), secret(std::move(secret_)), line(line_) {}

std::string secret_entry::description() const {
    const std::string_view kind = type == "plain" ? std::string_view("plaintext") : std::string_view(type);
    std::string text = fmt::format("{} secret for [{}]", kind, base::printable(id));
    if (line != 0)
        text += fmt::format(" from line {}", line);
    return text;
}

bool trusted_address::contains(std::string_view address,
                               const std::optional<base::ip_address>& parsed) const noexcept {
    if (!network)
        return address == range;
    return parsed && same_network(*parsed, *network, bits);
}

// ---- reading

class secrets_reader {
public:
    secrets::parsed read(std::string_view text) {
        while (!text.empty()) {
            const std::size_t end = std::min(text.find('\n'), text.size());
            ++number_;
            line(text.substr(0, end));
            text.remove_prefix(std::min(end + 1, text.size()));
        }
        std::ranges::stable_sort(out_->trusted_, std::ranges::greater(), [](const trusted_address& t) {
            return t.network ? t.bits + (t.bits == t.network->bits() ? 1000 : 0) : 2000;
        });
        secrets::parsed result{nullptr, std::move(problems_), std::move(unusable_)};
        if (result.unusable.empty())
            result.value = std::move(out_);
        return result;
    }

    // Nothing when it has been said what is wrong.
    static std::unique_ptr<secret_entry> decode(const secret_type& type, std::string_view id,
                                                std::string_view secret, unsigned line, std::string& wrong) {
        const std::string_view id_coding = type.base64_id ? "base64" : "xtext";
        auto plain_id = type.base64_id ? base::base64_decode(id) : base::xtext_decode(id);
        if (!plain_id) {
            wrong = fmt::format("line {}: invalid {} encoding of id", line, id_coding);
            return nullptr;
        }
        std::optional<base::secret_text> plain_secret;
        const bool by_xtext = type.name == "plain" && !type.base64_id;
        if (type.name == "md5")
            plain_secret = from_dotted_form(secret);
        if (!plain_secret)
            if (auto decoded = by_xtext ? base::xtext_decode(secret) : base::base64_decode(secret))
                plain_secret = base::secret_text::taken_from(*decoded);
        if (!plain_secret) {
            wrong =
                fmt::format("line {}: invalid {} encoding of secret", line, by_xtext ? "xtext" : "base64");
            return nullptr;
        }
        return std::make_unique<secret_entry>(type.name, std::move(*plain_id), std::move(*plain_secret),
                                              line);
    }

private:
    void line(std::string_view text) {
        if (text.ends_with('\r'))
            text.remove_suffix(1);
        std::vector<std::string_view> fields = fields_of(text);
        if (fields.empty() || fields[0].front() == '#')
            return;
        const bool server = base::iequals(fields[0], "server");
        if (!server && !base::iequals(fields[0], "client"))
            return wrong(fmt::format("invalid value in first field: [{}]", base::printable(fields[0])));
        if (fields.size() < 4)
            return wrong("too few fields");
        const bool comment = fields.size() > 4 && fields[4].front() == '#';
        if (fields.size() > 5 && !comment)
            problems_.push_back({number_, "too many fields", true});
        const secret_type type = type_of(fields[1]);
        if (server && type.name == "none")
            return trust(fields[2], fields[3]);
        const std::string_view selector = fields.size() > 4 && !comment ? fields[4] : std::string_view();
        if (!server)
            out_->selectors_.emplace(selector);
        const bool known = type.name == "plain" || hash_named(type.name) || (!server && type.name == "oauth");
        if (!known)
            return; // it never matches
        if (server)
            add_server(type, fields[2], fields[3]);
        else
            add_client(type, fields[2], fields[3], selector);
    }

    void trust(std::string_view range, std::string_view keyword) {
        const bool twice = std::ranges::any_of(
            out_->trusted_, [range](const trusted_address& t) { return t.range == range; });
        if (twice)
            return wrong("duplicate server trust address");
        trusted_address t;
        t.range = range;
        t.keyword = keyword;
        t.line = number_;
        understand(t);
        out_->trusted_.push_back(std::move(t));
    }

    void add_server(const secret_type& type, std::string_view id, std::string_view secret) {
        auto entry = decoded(type, id, secret);
        if (!entry)
            return;
        const auto [where, added] = out_->servers_.try_emplace(key_of(type.name, entry->id));
        if (!added)
            return wrong("duplicate server secret");
        where->second = std::move(entry);
        out_->server_types_.insert(type.name);
    }

    void add_client(const secret_type& type, std::string_view id, std::string_view secret,
                    std::string_view selector) {
        auto entry = decoded(type, id, secret);
        if (!entry)
            return;
        const auto [where, added] = out_->clients_.try_emplace(key_of(type.name, selector));
        if (!added)
            return wrong("duplicate client secret");
        where->second = std::move(entry);
    }

    // One value that cannot be read makes the whole file unusable: who knows what it was meant to be.
    std::unique_ptr<secret_entry> decoded(const secret_type& type, std::string_view id,
                                          std::string_view secret) {
        std::string why;
        auto entry = decode(type, id, secret, number_, why);
        if (unusable_.empty())
            unusable_ = std::move(why);
        return entry;
    }

    void wrong(std::string text) { problems_.push_back({number_, std::move(text), false}); }

    std::shared_ptr<secrets> out_ = std::make_shared<secrets>();
    std::vector<secrets::problem> problems_;
    std::string unusable_;
    unsigned number_ = 0;
};

secrets::parsed secrets::parse(std::string_view text) {
    return secrets_reader().read(text);
}

std::shared_ptr<const secrets> secrets::parse_inline(std::string_view text) {
    constexpr std::string_view scheme = "plain:";
    if (!text.starts_with(scheme))
        return nullptr;
    text.remove_prefix(scheme.size());
    const std::size_t colon = text.find(':');
    if (colon == std::string_view::npos)
        return nullptr;
    std::string wrong;
    auto entry =
        secrets_reader::decode({"plain", true}, text.substr(0, colon), text.substr(colon + 1), 0, wrong);
    if (!entry)
        return nullptr;
    auto out = std::make_shared<secrets>();
    out->clients_.emplace(key_of("plain", {}), std::move(entry));
    out->selectors_.emplace();
    return out;
}

// ---- asking

const secret_entry* secrets::server(std::string_view type, std::string_view id) const {
    const auto found = servers_.find(key_of(type, id));
    return found == servers_.end() ? nullptr : found->second.get();
}

bool secrets::has_server(std::string_view type) const {
    return server_types_.contains(std::string(type));
}

const trusted_address* secrets::trusted(std::string_view address) const {
    const auto octets = base::parse_ip_address(address.substr(0, address.find('%')));
    const auto found =
        std::ranges::find_if(trusted_, [&](const trusted_address& t) { return t.contains(address, octets); });
    return found == trusted_.end() ? nullptr : &*found;
}

const secret_entry* secrets::client(std::string_view type, std::string_view selector) const {
    const auto found = clients_.find(key_of(type, selector));
    return found == clients_.end() ? nullptr : found->second.get();
}

} // namespace sasl
