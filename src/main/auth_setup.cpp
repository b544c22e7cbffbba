#include "main/auth_setup.hpp"

#include <utility>

base::result<void> auth_setup::prepare(const config::instance& config) {
    // A file that both sides read is just a secrets file in the log.
    const std::string& client = config.client_auth;
    const bool shared = !client.empty() && (client == config.server_auth || client == config.pop_auth);
    const std::string server_side = shared ? "" : "server", client_side = shared ? "" : "client";
    if (config.serve_smtp) {
        auto made = server(config.server_auth, config.server_auth_config, server_side);
        if (made.has_error())
            return made.error();
        smtp_ = std::move(*made);
    }
    auto made = server(config.pop_auth, config.server_auth_config, server_side);
    if (made.has_error())
        return made.error();
    pop_ = std::move(*made);
    return prepare_client(config, client_side);
}

base::result<void> auth_setup::prepare_client(const config::instance& config, const std::string& used_by) {
    if (config.client_auth.empty())
        return {};
    if (config.client_auth.starts_with("plain:")) {
        auto secret = sasl::secrets::parse_inline(config.client_auth);
        if (!secret)
            return base::error{{}, "invalid client account details"};
        client_ =
            std::make_unique<relay::client_authentication>(std::move(secret), config.client_auth_config);
        return {};
    }
    auto secrets = file(config.client_auth, used_by);
    if (secrets.has_error())
        return secrets.error();
    client_ = std::make_unique<relay::client_authentication>(std::move(*secrets), config.client_auth_config);
    return {};
}

base::result<std::unique_ptr<relay::server_authentication>>
auth_setup::server(const std::string& source, const std::string& rules, const std::string& used_by) {
    if (source.empty())
        return std::unique_ptr<relay::server_authentication>();
    if (source == "pam:")
        return std::make_unique<relay::server_authentication>(nullptr, &pam_, rules);
    auto secrets = file(source, used_by);
    if (secrets.has_error())
        return secrets.error();
    return std::make_unique<relay::server_authentication>(std::move(*secrets), nullptr, rules);
}

// One object for each file, whoever uses it.
base::result<std::shared_ptr<relay::secrets_file>> auth_setup::file(const std::string& path,
                                                                    const std::string& used_by) {
    auto& one = files_[path];
    if (!one) {
        auto opened = std::make_shared<relay::secrets_file>(path, used_by, work_, log_);
        if (auto loaded = opened->load(); loaded.has_error())
            return loaded.error();
        one = std::move(opened);
    }
    return one;
}
