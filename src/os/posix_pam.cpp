#include "os/pam.hpp"

#include "base/secret_text.hpp"

#include <security/pam_appl.h>

#include <cstddef>
#include <cstdlib>
#include <cstring>

namespace os {

namespace {

// Answers every question that wants no echo with the password; there is nobody to ask the others. The answers
// are freed, and wiped, by PAM.
int converse(int count, const pam_message** questions, pam_response** answers, void* data) {
    if (count <= 0 || count > PAM_MAX_NUM_MSG)
        return PAM_CONV_ERR;
    const auto number = static_cast<std::size_t>(count);
    auto* made = static_cast<pam_response*>(std::calloc(number, sizeof(pam_response)));
    if (made == nullptr)
        return PAM_BUF_ERR;
    const auto& password = *static_cast<const base::secret_text*>(data);
    for (std::size_t i = 0; i < number; ++i)
        if (questions[i]->msg_style == PAM_PROMPT_ECHO_OFF)
            made[i].resp = ::strdup(password.view().data());
    *answers = made;
    return PAM_SUCCESS;
}

class pam_session {
public:
    pam_session(const std::string& service, const std::string& user, pam_conv* conversation)
        : status_(::pam_start(service.c_str(), user.c_str(), conversation, &handle_)) {}
    ~pam_session() { ::pam_end(handle_, status_); }
    pam_session(const pam_session&) = delete;
    pam_session& operator=(const pam_session&) = delete;

    base::result<void> result_of(const char* call, int status) {
        status_ = status;
        if (status == PAM_SUCCESS)
            return {};
        return base::error{
            {}, std::string(call) + ": " + std::to_string(status) + ": " + ::pam_strerror(handle_, status)};
    }
    base::result<void> started() { return result_of("pam_start", status_); }
    base::result<void> authenticate() {
        return result_of("pam_authenticate", ::pam_authenticate(handle_, PAM_SILENT));
    }
    base::result<void> account_is_good() {
        return result_of("pam_acct_mgmt", ::pam_acct_mgmt(handle_, PAM_SILENT));
    }

private:
    pam_handle_t* handle_ = nullptr;
    int status_;
};

} // namespace

base::result<void> pam_check(const std::string& service, const std::string& user, std::string_view password) {
    // PAM's strings end with NUL: what follows one must not be left out of the comparison.
    if (user.empty() || user.find('\0') != std::string::npos || password.find('\0') != std::string_view::npos)
        return base::error{{}, "user name or password not fit for PAM"};
    base::secret_text text(password);
    text.append(1, '\0');
    pam_conv conversation{converse, &text};
    pam_session session(service, user, &conversation);
    auto outcome = session.started();
    if (outcome.has_value())
        outcome = session.authenticate();
    if (outcome.has_value())
        outcome = session.account_is_good();
    return outcome;
}

} // namespace os
