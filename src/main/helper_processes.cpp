#include "main/helper_processes.hpp"

#include "os/pam.hpp"
#include "os/process.hpp"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

namespace {

// Passwords that are checked at a time. More than one that hangs must not keep the others waiting, and each
// is a process.
constexpr std::size_t most_checks = 32;

// Filters and verifiers that are programs.
std::vector<std::string> programs_of(const config::configuration& all) {
    std::vector<std::string> paths;
    for (const config::instance& one : all.instances) {
        for (const auto* chain : {&one.filters, &one.client_filters})
            for (const config::filter_specification& each : *chain)
                if (each.what == config::filter_specification::kind::program)
                    paths.push_back(each.value);
        if (one.verifier && one.verifier->what == config::verifier_specification::kind::program)
            paths.push_back(one.verifier->value);
    }
    return paths;
}

bool asks_pam(const config::configuration& all) {
    return std::any_of(all.instances.begin(), all.instances.end(), [](const config::instance& one) {
        return one.server_auth == "pam:" || one.pop_auth == "pam:";
    });
}

} // namespace

base::result<void> helper_processes::begin(const config::configuration& all) {
    if (os::is_first_process())
        os::leave_no_zombies(); // what filters leave running, or somebody's look into the container
    if (auto paths = programs_of(all); !paths.empty())
        if (auto begun = programs.begin(std::move(paths)); begun.has_error())
            return begun;
    if (asks_pam(all))
        return pam.begin("process for PAM", "emailrelay-pam", os::ask_pam, most_checks);
    return {};
}

void helper_processes::end() noexcept {
    programs.end();
    pam.end();
}
