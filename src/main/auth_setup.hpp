// The authentication of one relay, built from its configuration: which secrets files there are and who uses
// them, and PAM (spec/authentication.md section 1).
#pragma once

#include "base/log.hpp"
#include "base/result.hpp"
#include "config/configuration.hpp"
#include "relay/blocking.hpp"
#include "relay/client_authentication.hpp"
#include "relay/password_check.hpp"
#include "relay/secrets_file.hpp"
#include "relay/server_authentication.hpp"

#include <map>
#include <memory>
#include <string>

class auth_setup {
public:
    // `work` and `pam` outlive it.
    auth_setup(relay::blocking& work, const os::program_starter& pam, base::logger log)
        : work_(work), pam_(pam), log_(std::move(log)) {}

    // Reads the files. Errors end the program.
    base::result<void> prepare(const config::instance& config);

    // Null where it is not asked for.
    relay::server_authentication* smtp() noexcept { return smtp_.get(); }
    relay::server_authentication* pop() noexcept { return pop_.get(); }
    relay::client_authentication* client() noexcept { return client_.get(); }

private:
    base::result<void> prepare_client(const config::instance& config, const std::string& used_by);
    base::result<std::shared_ptr<relay::secrets_file>> file(const std::string& path,
                                                            const std::string& used_by);
    base::result<std::unique_ptr<relay::server_authentication>>
    server(const std::string& source, const std::string& rules, const std::string& used_by);

    relay::blocking& work_;
    relay::password_check pam_;
    base::logger log_;
    std::map<std::string, std::shared_ptr<relay::secrets_file>> files_;
    std::unique_ptr<relay::server_authentication> smtp_;
    std::unique_ptr<relay::server_authentication> pop_;
    std::unique_ptr<relay::client_authentication> client_;
};
