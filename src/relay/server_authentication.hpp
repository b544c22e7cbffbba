// Who may log in to a server of ours, SMTP or POP: passwords from a file, or PAM.
//
// A session asks now() once, when it begins, and keeps the answer; the rest is what its exchanges need from
// outside of sasl.
#pragma once

#include "base/log.hpp"
#include "base/result.hpp"
#include "net/worker.hpp"
#include "relay/login_material.hpp"
#include "relay/password_check.hpp"
#include "relay/secrets_file.hpp"
#include "sasl/server.hpp"

#include <memory>
#include <optional>
#include <string>

namespace relay {

class server_authentication {
public:
    // Either `file` or `pam`. `pam` outlives it.
    server_authentication(std::shared_ptr<secrets_file> file, password_check* pam, std::string_view rules);

    // Error: nobody can be let in now; the connection is refused and the log says
    // "new connection error: ...".
    net::awaitable<base::result<sasl::server>> now();

    // See password_check::check().
    net::awaitable<std::optional<sasl::verdict>> ask(net::worker& on, net::event& wake,
                                                     sasl::ask_password asked, base::logger log);

private:
    std::shared_ptr<secrets_file> file_;
    password_check* pam_;
    std::shared_ptr<const sasl::mechanism_rules> rules_;
    std::shared_ptr<const base::secret_text> salt_key_;
};

} // namespace relay
