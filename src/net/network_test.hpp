// What the tests of this folder stand on: network threads, and a log that must stay empty.
#pragma once

#include "net/listener.hpp"
#include "net/worker.hpp"

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace net {

class lines_kept final : public base::log_sink {
public:
    bool wants(base::severity, base::detail) const noexcept override { return true; }
    void write(base::severity, const base::log_context&, std::string_view text) override {
        lines.emplace_back(text);
    }
    std::vector<std::string> lines;
};

// Runs a coroutine on the first worker to its end.
class network : public testing::Test {
protected:
    explicit network(std::size_t threads = 2) : workers(threads) {}
    ~network() override { workers.stop(); }

    void run(awaitable<void> what) {
        auto whole = [](worker_group& w, awaitable<void> inner) -> awaitable<void> {
            co_await std::move(inner);
            w[0].stop();
        };
        spawn(workers[0], whole(workers, std::move(what)), log, "test");
        workers.start();
        workers[0].run();
        for (const std::string& line : kept.lines)
            ADD_FAILURE() << line;
    }

    // Each connection gets a coroutine of its own.
    void accept_with(listener& at, awaitable<void> (*session)(worker&, stream)) {
        auto begin = [this, session](worker& on, stream s) {
            spawn(on, session(on, std::move(s)), log, "session");
        };
        at.accept(workers, begin, log);
    }

    lines_kept kept;
    base::logger log{kept};
    worker_group workers;
};

inline awaitable<std::string> read_all_of(stream& from, std::size_t size) {
    std::string text;
    char buffer[4096];
    while (text.size() < size) {
        auto ready = co_await from.readable();
        if (ready.has_error())
            break;
        auto n = from.read_now(buffer);
        if (n.has_error())
            break;
        text.append(buffer, *n);
    }
    co_return text;
}

} // namespace net
