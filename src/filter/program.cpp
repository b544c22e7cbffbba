#include "filter/program.hpp"

#include "base/text.hpp"
#include "filter/exit_code.hpp"

#include <utility>

namespace filter {

namespace {

constexpr std::size_t octets_examined = 1024;

std::string base_name(const std::string& path) {
    return path.substr(path.rfind('/') + 1);
}

} // namespace

program::program(std::string path, std::string directory, const services& with,
                 const os::program_starter& starter)
    : path_(std::move(path)), directory_(std::move(directory)), name_(base_name(path_)),
      timeout_(with.timeout), process_(with.on, starter) {
    if (!directory_.ends_with('/'))
        directory_ += '/';
}

net::awaitable<result> program::run(const job& now) {
    now.log.verbose("{} [{}]: [{}]: running {}", prefix_of(now.what), base::printable(name_), now.id,
                    base::printable(path_));
    os::start_request asked(path_);
    for (const std::string& file : {now.content_path, now.envelope_path})
        asked.add(directory_ + base_name(file));
    net::program_end end =
        co_await process_.run(std::move(asked), octets_examined, net::deadline_after(timeout_), now.log);
    co_return judge(now, end);
}

result program::judge(const job& now, const net::program_end& end) const {
    using how = net::program_end::how;
    std::string_view prefix = prefix_of(now.what);
    switch (end.what) {
    case how::exited:
        break;
    case how::not_started: {
        std::string why = "filter exec error: " + base::to_lower(end.error.code.message());
        now.log.warning("{} [{}] failed: exit code 127: [rejected]: {}", prefix, base::printable(name_),
                        base::printable(end.error.message()));
        return result::fail("rejected", std::move(why));
    }
    case how::timed_out:
        now.log.warning("{} [{}] timed out after {}s", prefix, base::printable(name_), timeout_.count());
        return result::fail("error", "timeout");
    case how::too_much_output:
        now.log.warning("{} [{}] failed: too much output", prefix, base::printable(name_));
        return result::fail("error", "too much output");
    case how::interrupted:
        return result::interrupted();
    }
    result found = result_of_exit(now.what, end.code);
    if (found.what == result::outcome::fail) {
        told words = read_output(end.output);
        found.code = words.code;
        found.response = std::move(words.response);
        found.reason = std::move(words.reason);
    }
    if (found.what != result::outcome::ok)
        now.log.warning("{} [{}] failed: exit code {}: [{}]", prefix, base::printable(name_), end.code,
                        base::printable(found.response));
    return found;
}

} // namespace filter
