// How the client logs in: one mechanism after another, until one is accepted (spec/smtp-client.md section 5,
// RFC 4954). A part of client_engine, which sends the lines and brings the replies.
#pragma once

#include "sasl/client.hpp"

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace smtp {

// As whom, if at all.
struct client_account {
    sasl::client by;
    std::string selector;                    // of the messages of this session
    std::function<std::string()> fresh_text; // printable, never the same, not to be guessed
};

class client_login {
public:
    explicit client_login(client_account account) : account_(std::move(account)) {}

    // What is known of the server and of the connection.
    struct surroundings {
        std::optional<std::vector<std::string>> offered; // the words behind AUTH; absent without AUTH
        bool encrypted = false;
        std::vector<sasl::channel_binding> bindings{};
    };

    struct say {
        base::secret_text line;
        std::string for_log;
    };
    struct work {};      // compute(), on another thread, then computed()
    struct logged_in {}; // as id()
    struct not_needed {};
    struct failed {
        std::string reason; // of the session; raw: may hold what the server said
    };
    using step = std::variant<say, work, logged_in, not_needed, failed>;

    step begin(surroundings now);
    step on_reply(int code, std::string_view text); // any code
    void compute() { exchange_->compute(); }
    step computed();

    const std::string& id() const noexcept { return tried().with->id; }
    std::string description() const; // "mechanism [plain] and plaintext secret for [me] from line 1"

private:
    const sasl::candidate& tried() const noexcept { return candidates_[at_]; }
    step try_next();
    step go_on(sasl::client_step now);

    client_account account_;
    surroundings now_;
    std::vector<sasl::candidate> candidates_;
    std::size_t at_ = 0;
    std::unique_ptr<sasl::client_exchange> exchange_;
};

} // namespace smtp
