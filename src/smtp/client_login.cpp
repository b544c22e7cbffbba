#include "smtp/client_login.hpp"

#include "base/base64.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace smtp {

namespace {

// What goes on the line of AUTH itself: RFC 5321 section 4.5.3.1.4 gives a command 512 octets.
constexpr std::size_t longest_initial_response = 450;

} // namespace

std::string client_login::description() const {
    return fmt::format("mechanism [{}] and {}", log_name(tried().how), tried().with->description());
}

client_login::step client_login::begin(surroundings now) {
    using enum sasl::client::account;
    const std::string& selector = account_.selector;
    switch (account_.by.find(selector)) {
    case none_needed:
        return not_needed{};
    case unknown:
        return failed{fmt::format("no client authentication account: selector [{}]", selector)};
    case there:
        break;
    }
    if (!now.offered)
        return failed{"authentication is not supported by the remote smtp server"};
    now_ = std::move(now);
    candidates_ = account_.by.candidates(selector, now_.encrypted, !now_.bindings.empty(), *now_.offered);
    if (candidates_.empty())
        return failed{fmt::format("cannot do authentication: check for a compatible client secret{}",
                                  selector.empty() ? "" : fmt::format(" with selector [{}]", selector))};
    at_ = 0;
    return try_next();
}

client_login::step client_login::try_next() {
    const bool plus_offered = std::ranges::any_of(*now_.offered, [](const std::string& name) {
        return sasl::mechanism_named(name) == sasl::mechanism::scram_sha_256_plus;
    });
    const bool could_bind = !now_.bindings.empty() && !plus_offered && account_.by.would_bind(now_.encrypted);
    exchange_ = std::make_unique<sasl::client_exchange>(
        tried(), sasl::client_facts{account_.fresh_text(), now_.encrypted, now_.bindings, could_bind});
    std::string command = fmt::format("AUTH {}", name_of(tried().how));

    std::string coded;
    if (const auto initial = exchange_->initial_response())
        coded = initial->empty() ? "=" : base::base64_encode(initial->view());
    const bool on_the_line = !coded.empty() && coded.size() <= longest_initial_response;
    say out{base::secret_text(command), fmt::format("\"{}\"", command)};
    if (on_the_line) {
        out.line.append(" ");
        out.line.append(coded);
        out.for_log = fmt::format("\"{} [not logged]\"", command);
    } else {
        exchange_->initial_response_not_sent();
    }
    base::wipe(coded);
    return out;
}

client_login::step client_login::on_reply(int code, std::string_view text) {
    if (code == 334) {
        auto challenge = base::base64_decode(text);
        if (!challenge)
            return go_on(sasl::cancel{});
        return go_on(exchange_->respond(*challenge));
    }
    if (code >= 200 && code < 300) {
        if (exchange_->satisfied())
            return logged_in{};
        return failed{
            fmt::format("authentication failed using {}: the server did not prove who it is", description())};
    }
    if (code < 400)
        return failed{fmt::format("smtp error: unexpected response: {}", text)};
    if (at_ + 1 < candidates_.size()) {
        ++at_;
        return try_next();
    }
    return failed{fmt::format("authentication failed using {}: [{}]", description(), text)};
}

client_login::step client_login::computed() {
    return go_on(exchange_->computed());
}

client_login::step client_login::go_on(sasl::client_step now) {
    if (std::holds_alternative<sasl::client_compute>(now))
        return work{};
    if (const auto* answer = std::get_if<sasl::response>(&now)) {
        std::string coded = base::base64_encode(answer->text.view());
        return say{base::secret_text::taken_from(coded), "[response not logged]"};
    }
    return say{base::secret_text("*"), "\"*\""};
}

} // namespace smtp
