#include "relay/password_check.hpp"

#include "base/text.hpp"
#include "net/program.hpp"
#include "os/pam.hpp"

#include <memory>
#include <string>
#include <utility>

namespace relay {

namespace {

constexpr const char* service = "emailrelay"; // /etc/pam.d/emailrelay
constexpr std::size_t longest_answer = 1024;

// Shared by the coroutine that waits and the one that follows the process: both are of one thread, and either
// may be over first.
struct question {
    question(net::worker& on, const os::program_starter& pam, net::event& waiting)
        : run(on, pam), wake(&waiting) {}
    net::program_run run;
    net::event* wake; // null: nobody waits any more
    std::optional<net::program_end> end{};
};

net::awaitable<void> follow(std::shared_ptr<question> one, os::start_request words, net::time_point deadline,
                            base::logger log) {
    if (!one->wake)
        co_return; // it was too late before it began
    one->end = co_await one->run.run(std::move(words), longest_answer, deadline, std::move(log));
    if (one->wake)
        one->wake->notify();
}

// Why there is no verdict.
std::string failure(const net::program_end& end) {
    using how = net::program_end::how;
    constexpr unsigned of_signal = 128;
    if (end.what == how::not_started)
        return base::printable(end.error.message());
    if (end.what != how::exited)
        return "no answer";
    if (end.code > of_signal)
        return "a module was ended by signal " + std::to_string(end.code - of_signal);
    return "a module ended the process with exit code " + std::to_string(end.code);
}

} // namespace

net::awaitable<std::optional<sasl::verdict>>
password_check::check(net::worker& on, net::event& wake, sasl::ask_password asked, base::logger log) {
    os::pam_question named{asked.id, asked.password.view(), log.context().address};
    if (named.client.starts_with('/')) // a unix-domain socket
        named.client.clear();
    auto words = os::request_for_pam(service, named);
    if (words.has_error()) {
        log.warning("pam error: {}", words.error().message());
        co_return sasl::failed(asked);
    }
    const net::time_point deadline = std::chrono::steady_clock::now() + patience_;
    auto one = std::make_shared<question>(on, pam_, wake);
    net::spawn(on, follow(one, std::move(*words), deadline, log), log, "password check");
    co_await wake.wait(deadline);
    one->wake = nullptr;
    if (!one->end)
        one->run.interrupt();
    auto answer = one->end && one->end->what == net::program_end::how::exited && one->end->code == 0
                      ? os::pam_answer(one->end->output)
                      : std::nullopt;
    if (!answer) {
        log.warning("pam error: {}", one->end ? failure(*one->end) : "no answer");
        co_return std::nullopt;
    }
    if (answer->has_value())
        co_return sasl::passed(asked);
    log.warning("pam error: {}", base::printable(answer->error().message()));
    co_return sasl::failed(asked);
}

} // namespace relay
