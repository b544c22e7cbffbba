// Where mail for a domain goes, by what the DNS says (RFC 5321 section 5.1, RFC 7505;
// spec/filters-and-verifiers.md section 6).
#pragma once

#include "net/dns_message.hpp"
#include "net/stream.hpp"

#include <chrono>
#include <cstddef>
#include <functional>
#include <set>
#include <string>
#include <vector>

namespace net {

class worker;

struct name_servers {
    std::vector<endpoint> servers;          // in the order of asking; empty: the system's
    std::chrono::milliseconds next{1000};   // wait before asking the next one
    std::chrono::milliseconds again{15000}; // wait after the last, before asking the first again
};

struct mail_exchangers {
    enum class outcome {
        found,
        none,        // and there will be none: no such domain, no address, or it takes no mail
        not_for_now, // no answer, or none that can be used
    };
    outcome what = outcome::none;
    std::vector<std::string> addresses{}; // literals, best first; at least one if found
    std::string why{};
};

// Best first: by preference, then in the order of the answer. Without exchangers the domain itself. Aliases
// are followed. Ends by the deadline.
class exchanger_search {
public:
    exchanger_search(worker& on, name_servers servers, time_point deadline);

    awaitable<mail_exchangers> find(std::string domain);
    void interrupt() { interrupted_ = true; } // ends with the next answer or wait

    static constexpr std::size_t most_aliases = 10;
    static constexpr std::size_t most_exchangers = 5; // that are looked up
    static constexpr std::size_t most_addresses = 16;

private:
    // What the servers know of one name and type.
    struct reply {
        enum class kind { answer, no_such_name, none };
        kind what = kind::none;
        std::vector<dns_record> records{};
        std::string target{}; // where the aliases in the answer lead; the name itself without any
    };
    awaitable<reply> ask(std::string name, dns_type type);
    awaitable<reply> follow(std::string name, dns_type type);
    awaitable<void> add_addresses(std::string host, mail_exchangers& to, bool& unsure);

    worker& worker_;
    name_servers servers_;
    time_point deadline_;
    bool interrupted_ = false;
};

} // namespace net
