#include "os/pam.hpp"

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
    const auto* password = static_cast<const char*>(data);
    for (std::size_t i = 0; i < number; ++i)
        if (questions[i]->msg_style == PAM_PROMPT_ECHO_OFF)
            made[i].resp = ::strdup(password);
    *answers = made;
    return PAM_SUCCESS;
}

class pam_session {
public:
    pam_session(const char* service, const char* user, pam_conv* conversation)
        : status_(::pam_start(service, user, conversation, &handle_)) {}
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
    base::result<void> set_client(const char* address) {
        return result_of("pam_set_item", ::pam_set_item(handle_, PAM_RHOST, address));
    }
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

// What is printed: this octet, and behind the second one the reason.
constexpr char may_come_in = '+', may_not = '-';

base::result<void> check(const char* service, const char* user, char* password, const char* client) {
    pam_conv conversation{converse, password};
    pam_session session(service, user, &conversation);
    auto outcome = session.started();
    if (outcome.has_value() && *client != '\0')
        outcome = session.set_client(client);
    if (outcome.has_value())
        outcome = session.authenticate();
    if (outcome.has_value())
        outcome = session.account_is_good();
    return outcome;
}

} // namespace

base::result<start_request> request_for_pam(std::string_view service, const pam_question& asked) {
    // PAM's strings end with NUL: what follows one must not be left out of the comparison.
    if (asked.user.empty() || asked.user.find('\0') != asked.user.npos ||
        asked.password.find('\0') != asked.password.npos)
        return base::error{{}, "user name or password not fit for PAM"};
    start_request words(service);
    words.add(asked.user);
    words.add(asked.password);
    words.add(asked.client);
    return words;
}

std::string ask_pam(const std::vector<char*>& words) {
    constexpr std::size_t those_and_a_null = 5;
    if (words.size() != those_and_a_null)
        return {};
    auto outcome = check(words[0], words[1], words[2], words[3]);
    return outcome.has_value() ? std::string(1, may_come_in) : may_not + outcome.error().message();
}

std::optional<base::result<void>> pam_answer(std::string_view printed) {
    if (printed.size() == 1 && printed.front() == may_come_in)
        return base::result<void>();
    if (printed.empty() || printed.front() != may_not)
        return std::nullopt;
    return base::error{{}, std::string(printed.substr(1))};
}

} // namespace os
