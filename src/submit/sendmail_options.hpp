// The command line of a sendmail: letters, bundled or with values, as the callers of /usr/sbin/sendmail write
// it.
//
// What has no meaning here (queue intervals, tracing, delivery notices, ...) is accepted as other sendmails
// do.
#pragma once

#include "mail/envelope.hpp"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace submit {

// Exit codes (sysexits.h), which callers of sendmail go by.
enum exit_status {
    ex_ok = 0,
    ex_usage = 64,
    ex_dataerr = 65,
    ex_noinput = 66,
    ex_unavailable = 69,
    ex_software = 70,
    ex_ioerr = 74,
    ex_tempfail = 75,
    ex_noperm = 77,
    ex_config = 78,
};

struct sendmail_options {
    enum class mode { deliver, smtp, list_queue, aliases };
    mode what = mode::deliver;
    bool recipients_in_header = false; // -t
    bool dot_ends = true;              // -i and -oi clear it
    std::optional<std::string> from;   // -f, -r; may be empty
    std::string full_name;             // -F
    mail::body_type body = mail::body_type::unknown;
    std::vector<std::string> recipients; // addresses, without a domain where none was written
    std::string spool_dir;               // -OQueueDirectory=, -oQ; empty if not given

    struct failure {
        exit_status status = ex_usage;
        std::string text;
    };
    std::optional<failure> wrong;
};

// `called_as` is the base name of the program: mailq and newaliases are modes of their own.
sendmail_options read_sendmail_options(std::string_view called_as, const std::vector<std::string>& words);

} // namespace submit
