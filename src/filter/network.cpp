#include "filter/network.hpp"

#include "filter/network_answer.hpp"

#include <utility>

namespace filter {

network::network(net::target server, const services& with)
    : name_(net::helper_name(server)), connection_(with.on, std::move(server), with.timeout) {}

net::awaitable<result> network::run(const job& now) {
    connection_.begin();
    bool kept = connection_.is_open();
    auto line = co_await ask(now);
    // It may have been closed just as the question was on its way: nothing has come of that.
    if (line.has_error() && kept && !connection_.timed_out())
        line = co_await ask(now);
    if (line.has_error())
        co_return result::fail("failed", line.error().what);
    co_return read_network_answer(*line);
}

net::awaitable<base::result<std::string>> network::ask(const job& now) {
    auto opened = co_await connection_.open();
    if (opened.has_error())
        co_return opened.error();
    std::string question = now.content_path + "\n";
    auto asked = co_await connection_.write(question);
    if (asked.has_error())
        co_return asked.error();
    co_return co_await connection_.read_line();
}

} // namespace filter
