// Logging in at a server that answers what it likes.
//
// Input: an octet that chooses the mechanism, then the server's challenges, one a line, decoded already.
//
// Oracles: an exchange ends; a password is never said in an answer of a mechanism that keeps it; SCRAM is
// satisfied with a server that has proved who it is, and this one cannot.
#include "sasl/client.hpp"
#include "support.hpp"

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace {

constexpr std::string_view password = "p4ssw0rd-of-the-client";

std::string_view take_line(std::string_view& text) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    return line;
}

bool says_the_password(sasl::mechanism m) {
    return m == sasl::mechanism::plain || m == sasl::mechanism::login || m == sasl::mechanism::xoauth2 ||
           m == sasl::mechanism::oauthbearer;
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0)
        return 0;
    static const std::string secrets_text =
        "client plain me " + std::string(password) + "\nclient oauth me dXNlcj1tZQ==\n";
    static const auto known = sasl::secrets::parse(secrets_text).value;
    static const auto rules = std::make_shared<const sasl::mechanism_rules>(sasl::mechanism_rules::parse(
        "m:plain,login,cram-md5,cram-sha1,cram-sha256,cram-sha512,xoauth2,oauthbearer,scram-sha-256,"
        "scram-sha-256-plus",
        false));
    static const sasl::client us(known, rules);
    static const std::vector<std::string> offered = [] {
        std::vector<std::string> names;
        for (sasl::mechanism m : sasl::all_mechanisms())
            names.emplace_back(sasl::name_of(m));
        return names;
    }();
    const auto ways = us.candidates("", true, true, offered);
    require(!ways.empty(), "no way to log in");
    const sasl::candidate chosen = ways[data[0] % ways.size()];
    sasl::client_exchange exchange(chosen, {"nonce", true, {{"tls-exporter", "binding"}}, false});
    std::string_view rest(reinterpret_cast<const char*>(data) + 1, size - 1);
    if (rest.find(password) != std::string_view::npos) // said by the server itself, it may come back
        return 0;

    const auto check_text = [&](const base::secret_text& text) {
        require(says_the_password(chosen.how) || text.view().find(password) == std::string_view::npos,
                "the password is out");
    };
    if (const auto first = exchange.initial_response(); first) {
        check_text(*first);
        if (data[0] % 2 == 0)
            exchange.initial_response_not_sent();
    }
    bool over = false;
    for (int steps = 0; !over && !rest.empty(); ++steps) {
        sasl::client_step now = exchange.respond(take_line(rest));
        while (std::holds_alternative<sasl::client_compute>(now)) {
            exchange.compute();
            now = exchange.computed();
        }
        if (const auto* said = std::get_if<sasl::response>(&now))
            check_text(said->text);
        else
            over = true;
        require(steps < 20'000, "no end");
    }
    require(!sasl::is_scram(chosen.how) || !exchange.satisfied(), "satisfied without a proof");
    return 0;
}
