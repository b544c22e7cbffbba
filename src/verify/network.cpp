#include "verify/network.hpp"

#include "base/text.hpp"
#include "verify/network_answer.hpp"

#include <utility>

namespace verify {

network::network(net::target server, std::string shown, const services& with)
    : shown_(std::move(shown)), connection_(with.on, std::move(server), with.timeout) {}

net::awaitable<verdict> network::check(request asked) {
    auto question = network_question(asked);
    if (!question)
        co_return verdict::reject("invalid address", "address with a field separator");
    asked.log.verbose("verification request: [{}] ({})", base::printable(asked.address), asked.client);
    *question += '\n';
    connection_.begin();
    bool kept = connection_.is_open();
    auto line = co_await ask(*question, asked.log);
    // It may have been closed just as the question was on its way: nothing has come of that.
    if (line.has_error() && kept && !connection_.timed_out())
        line = co_await ask(*question, asked.log);
    if (line.has_error())
        co_return verdict::reject_for_now("cannot verify", "network verifier peer disconnected");
    asked.log.verbose("verification response: [{}]", base::printable(*line));
    co_return read_network_answer(*line);
}

net::awaitable<base::result<std::string>> network::ask(std::string question, const base::logger& log) {
    auto opened = co_await connection_.open();
    if (opened.has_error()) {
        log.warning("cannot connect to {}", base::printable(shown_));
        co_return opened.error();
    }
    auto written = co_await connection_.write(question);
    if (written.has_error())
        co_return written.error();
    co_return co_await connection_.read_line();
}

} // namespace verify
