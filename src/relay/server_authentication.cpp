#include "relay/server_authentication.hpp"

#include "os/machine.hpp"

#include <fmt/format.h>

#include <utility>

namespace relay {

namespace {

// One for the life of the process: salts stay the same when the file is read again.
std::shared_ptr<const base::secret_text> salt_key() {
    static const auto key = std::make_shared<const base::secret_text>(
        fmt::format("{:x}.{:x}.{:x}", os::random_number(), os::random_number(), os::random_number()));
    return key;
}

} // namespace

server_authentication::server_authentication(std::shared_ptr<secrets_file> file, password_check* pam,
                                             std::string_view rules)
    : file_(std::move(file)), pam_(pam),
      rules_(std::make_shared<const sasl::mechanism_rules>(sasl::mechanism_rules::parse(rules, false))),
      salt_key_(salt_key()) {}

net::awaitable<base::result<sasl::server>> server_authentication::now() {
    if (!file_)
        co_return sasl::server(rules_);
    auto known = co_await file_->current();
    if (known.has_error())
        co_return known.error();
    co_return sasl::server(std::move(*known), rules_, salt_key_);
}

net::awaitable<std::optional<sasl::verdict>>
server_authentication::ask(net::worker& on, net::event& wake, sasl::ask_password asked, base::logger log) {
    return pam_->check(on, wake, std::move(asked), std::move(log));
}

} // namespace relay
