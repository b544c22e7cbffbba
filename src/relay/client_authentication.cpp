#include "relay/client_authentication.hpp"

#include <utility>

namespace relay {

namespace {

std::shared_ptr<const sasl::mechanism_rules> parse_rules(std::string_view text) {
    return std::make_shared<const sasl::mechanism_rules>(sasl::mechanism_rules::parse(text, true));
}

} // namespace

client_authentication::client_authentication(std::shared_ptr<secrets_file> file, std::string_view rules)
    : file_(std::move(file)), rules_(parse_rules(rules)) {}

client_authentication::client_authentication(std::shared_ptr<const sasl::secrets> fixed,
                                             std::string_view rules)
    : fixed_(std::move(fixed)), rules_(parse_rules(rules)) {}

net::awaitable<base::result<sasl::client>> client_authentication::now() {
    if (!file_)
        co_return sasl::client(fixed_, rules_);
    auto known = co_await file_->current();
    if (known.has_error())
        co_return known.error();
    co_return sasl::client(std::move(*known), rules_);
}

} // namespace relay
