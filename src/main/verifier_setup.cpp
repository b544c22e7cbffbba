#include "main/verifier_setup.hpp"

#include "main/filter_setup.hpp"
#include "verify/account.hpp"
#include "verify/network.hpp"
#include "verify/program.hpp"

#include <memory>

verify::maker verifier_of(const config::verifier_specification& given, const os::program_starter& starter) {
    using enum config::verifier_specification::kind;
    switch (given.what) {
    case program:
        return [path = given.value, &starter](const verify::services& with) {
            return std::make_unique<verify::program>(path, with, starter);
        };
    case exit:
        return [code = given.exit_code](const verify::services&) {
            return std::make_unique<verify::fixed_exit>(code);
        };
    case account: {
        verify::account_rules rules;
        rules.least_uid = given.account.least_uid;
        rules.greatest_uid = given.account.greatest_uid;
        rules.lowercase = given.account.lowercase;
        rules.check = given.account.check;
        rules.remote = given.account.remote;
        return [rules](const verify::services& with) {
            return std::make_unique<verify::account>(rules, with);
        };
    }
    case network:
        return [server = target_of(given.value), shown = given.value](const verify::services& with) {
            return std::make_unique<verify::network>(server, shown, with);
        };
    }
    return nullptr;
}
