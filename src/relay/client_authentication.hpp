// How we log in to others: secrets from a file, or the one given on the command line.
#pragma once

#include "base/result.hpp"
#include "net/stream.hpp"
#include "relay/login_material.hpp"
#include "relay/secrets_file.hpp"
#include "sasl/client.hpp"

#include <memory>
#include <string_view>

namespace relay {

class client_authentication {
public:
    client_authentication(std::shared_ptr<secrets_file> file, std::string_view rules);
    client_authentication(std::shared_ptr<const sasl::secrets> fixed, std::string_view rules);

    // For a connection that is about to be made. Error: the file is missing or unusable at present.
    net::awaitable<base::result<sasl::client>> now();

private:
    std::shared_ptr<secrets_file> file_;
    std::shared_ptr<const sasl::secrets> fixed_; // instead of the file
    std::shared_ptr<const sasl::mechanism_rules> rules_;
};

} // namespace relay
