// What a sendmail puts into the spool: the envelope, and the header with what its callers leave out. Pure.
#pragma once

#include "submit/message.hpp"
#include "submit/sendmail_options.hpp"

#include <functional>
#include <string>
#include <string_view>

namespace submit {

// Who calls, and where.
struct sendmail_caller {
    std::string login;
    std::string full_name;
    // What stands behind the "@" where nothing was written. Asked only when it is needed: it may take time.
    std::function<std::string()> mail_domain;
};

// "root" -> "root@host.example.com".
std::string with_domain(std::string address, const std::function<std::string()>& mail_domain);

// Errors have no code; the text says what is wrong with the message.
base::result<message> build_sendmail_message(const sendmail_options& o, const sendmail_caller& caller,
                                             std::string_view header, const stamp& when);

} // namespace submit
