// Passwords of the system's accounts (spec/authentication.md section 8).
//
// PAM's modules may wait for a network, hang, crash, or start programs with more privilege: each password is
// checked by a process of its own (program_starter.hpp), outside of the sandbox.
#pragma once

#include "base/result.hpp"
#include "os/program_starter.hpp"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace os {

struct pam_question {
    std::string user;
    std::string_view password;
    std::string client; // its address, for modules that want it; empty: unknown
};

// What the processes are asked, with the name of the service in /etc/pam.d. Error: not fit for PAM.
base::result<start_request> request_for_pam(std::string_view service, const pam_question& asked);

// The function that they run: pam_authenticate, then pam_acct_mgmt. Blocks for as long as the modules please.
// It prints what pam_answer() reads.
std::string ask_pam(const std::vector<char*>& words);

// Nothing if it is no answer: the function did not come to its end. An error is a no, and names the call:
// "pam_authenticate: 7: Authentication failure".
std::optional<base::result<void>> pam_answer(std::string_view printed);

} // namespace os
