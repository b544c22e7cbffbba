// Values with a grammar of their own: filters, the address verifier, block lists, switch lists, addresses
// (spec/filters-and-verifiers.md sections 1 and 7, spec/dnsbl.md section 1, spec/command-line.md section 2).
//
// Readers take text and give a struct, or an error whose text goes behind "invalid filter specification: "
// and its like. Nothing is looked up: whether a program or host exists is found out later.
#pragma once

#include "base/result.hpp"

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace config {

struct filter_specification {
    enum class kind {
        program,
        network,
        spamd,
        spamd_edit,
        exit,
        sleep,
        deliver,
        copy,
        split,
        mx,
        message_id,
        milter
    };
    kind what = kind::program;
    std::string value{}; // absolute path, address, or the parameters of a built-in filter as written
    unsigned number = 0; // exit code or milliseconds
};

// Which system accounts are recipients.
struct account_rule {
    unsigned least_uid = 1000, greatest_uid = 32767;
    bool lowercase = false, check = false, remote = false;
};

struct verifier_specification {
    enum class kind { program, network, account, exit };
    kind what = kind::program;
    std::string value{}; // absolute path or address
    unsigned exit_code = 0;
    account_rule account{};
};

struct dnsbl_specification {
    std::vector<std::string> domains;
    unsigned threshold = 1; // 0: ask but never block
    std::uint64_t timeout_milliseconds = 5000;
    bool deny_on_timeout = false;
    std::string server; // "127.0.0.1:53"; empty for the system's
};

using path_function = std::function<std::string(std::string_view)>; // makes a path absolute

base::result<std::vector<filter_specification>> read_filters(std::string_view value,
                                                             const path_function& absolute);
base::result<verifier_specification> read_verifier(std::string_view value, const path_function& absolute);

// Nothing when the value is empty, which switches the feature off.
base::result<std::optional<dnsbl_specification>> read_dnsbl(std::string_view value);

struct protocol_switch {
    std::string_view name;
    bool* state; // holds the default when the reading begins
};

// Sets the switches and gives back the items that name none of them.
std::vector<std::string> read_switches(const std::vector<std::string>& items,
                                       std::initializer_list<protocol_switch> switches);

// "20" seconds or "500ms"; nothing if it is neither, is zero seconds, or is more than 2^32 - 1 seconds.
std::optional<std::uint64_t> read_poll_period(std::string_view value);

// An IPv4 or IPv6 address without port; the latter may have a scope ("fe80::1%eth0") and brackets.
bool is_ip_address(std::string_view text);

// "host:port" in one of the forms of spec/smtp-client.md section 2.1, or an absolute path.
bool is_host_and_service(std::string_view text);

} // namespace config
