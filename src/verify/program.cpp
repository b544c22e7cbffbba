#include "verify/program.hpp"

#include "base/text.hpp"
#include "verify/answer.hpp"

#include <boost/system/errc.hpp>

#include <algorithm>
#include <utility>
#include <vector>

namespace verify {

namespace {

constexpr std::size_t octets_examined = 1024;

} // namespace

program::program(std::string path, const services& with, const os::program_starter& starter)
    : path_(std::move(path)), timeout_(with.timeout), process_(with.on, starter) {}

net::awaitable<verdict> program::check(request asked) {
    std::vector<std::string> arguments{asked.address, asked.from,      asked.client,
                                       asked.domain,  asked.mechanism, asked.identity};
    // An argument ends at a NUL: the program would decide about another address than the one given.
    bool cut = std::any_of(arguments.begin(), arguments.end(),
                           [](const std::string& a) { return a.find('\0') != a.npos; });
    if (cut)
        co_return verdict::reject("mailbox unavailable", "NUL in the address");
    if (asked.log.wants_verbose()) {
        std::string shown;
        for (const std::string& argument : arguments)
            shown += " [" + base::printable(argument) + "]";
        asked.log.verbose("address verifier: executing [{}]{}", base::printable(path_), shown);
    }
    os::start_request process(path_);
    for (const std::string& argument : arguments)
        process.add(argument);
    net::program_end end =
        co_await process_.run(std::move(process), octets_examined, net::deadline_after(timeout_), asked.log);
    co_return judge(asked, end);
}

verdict program::judge(const request& asked, const net::program_end& end) const {
    using how = net::program_end::how;
    switch (end.what) {
    case how::exited:
        break;
    case how::not_started:
        asked.log.warning("address verifier: {}", base::printable(end.error.message()));
        if (end.error.code == boost::system::errc::broken_pipe) // says nothing about the program
            return verdict::reject_for_now("error", "no program starter");
        return verdict::reject("error", base::to_lower(end.error.code.message()));
    case how::timed_out:
        asked.log.warning("address verifier: [{}] timed out after {}s", base::printable(path_),
                          timeout_.count());
        return verdict::reject_for_now("timeout", "timeout");
    case how::too_much_output:
        return verdict::reject("error", "too much output");
    case how::interrupted:
        return verdict::reject_for_now("error", "interrupted");
    }
    lines printed = read_lines(end.output);
    asked.log.verbose("address verifier: exit code {}: [{}] [{}]", end.code, base::printable(printed.first),
                      base::printable(printed.second));
    return verdict_of_exit(end.code, printed);
}

net::awaitable<verdict> fixed_exit::check(request) {
    co_return verdict_of_exit(code_, lines{});
}

} // namespace verify
