// Secrets files, addresses asked for in them, and the server's exchanges with whatever the client answers.
//
// Input: a secrets file, a NUL, then lines: the first names a mechanism, the others are answers.
#include "sasl/client.hpp"
#include "sasl/server.hpp"
#include "support.hpp"

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace {

bool is_printable(std::string_view text) {
    for (char c : text)
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f)
            return false;
    return true;
}

std::string_view take_line(std::string_view& text) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    return line;
}

void log_in(const sasl::server& by, sasl::mechanism how, std::string_view answers) {
    sasl::server_exchange exchange(by, how, {"<1@x>", "nonce", true, {{"tls-exporter", "binding"}}});
    sasl::step now =
        exchange.begin(exchange.takes_initial_response() ? std::optional(take_line(answers)) : std::nullopt);
    for (int steps = 0;; ++steps) {
        require(steps < 10); // every exchange ends
        if (std::holds_alternative<sasl::compute>(now)) {
            exchange.compute();
            now = exchange.computed();
        } else if (std::holds_alternative<sasl::challenge>(now)) {
            now = exchange.respond(take_line(answers));
        } else {
            const auto& end = std::get<sasl::verdict>(now);
            require(is_printable(end.description) && is_printable(end.fault));
            return;
        }
    }
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
    const std::string_view data(reinterpret_cast<const char*>(bytes), size);
    const std::size_t end = std::min(data.find('\0'), data.size());
    std::string_view rest = data.substr(std::min(end + 1, data.size()));
    const sasl::secrets::parsed parsed = sasl::secrets::parse(data.substr(0, end));
    for (const auto& problem : parsed.problems)
        require(is_printable(problem.text) && problem.line > 0);
    require((parsed.value == nullptr) == !parsed.unusable.empty());
    if (!parsed.value)
        return 0;

    const std::string_view word = take_line(rest);
    if (const auto* found = parsed.value->trusted(word))
        require(found->line > 0);
    const auto rules =
        std::make_shared<const sasl::mechanism_rules>(sasl::mechanism_rules::parse("d:none,xoauth2", false));
    const auto scram = std::make_shared<const sasl::mechanism_rules>(
        sasl::mechanism_rules::parse("m:;a:scram-sha-256,scram-sha-256-plus", false));
    const auto salt = std::make_shared<const base::secret_text>("salt");
    for (const auto& chosen : {rules, scram}) {
        const sasl::server by(parsed.value, chosen, salt);
        for (sasl::mechanism how : by.mechanisms(true, true))
            log_in(by, how, rest);
    }
    (void)sasl::mechanism_rules::parse(word, true);
    const sasl::client out(parsed.value, rules);
    (void)out.find(word);
    return 0;
}
