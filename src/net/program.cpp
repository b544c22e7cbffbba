#include "net/program.hpp"

#include "net/activity.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <algorithm>
#include <array>
#include <csignal>
#include <utility>

namespace net {

namespace asio = boost::asio;

namespace {

constexpr std::size_t most_output = 64 * 1024; // design.md section 7
constexpr std::chrono::seconds grace{3};       // between SIGTERM and SIGKILL
constexpr std::chrono::milliseconds while_short{100};
constexpr std::chrono::seconds signals_apart{2}; // of those sent to all of our processes, at most
constexpr std::chrono::milliseconds between_looks{10};

// Of something that comes back when others have ended.
bool is_shortage(const base::error_code& code) {
    namespace errc = boost::system::errc;
    return code == errc::too_many_files_open || code == errc::too_many_files_open_in_system ||
           code == errc::resource_unavailable_try_again || code == errc::not_enough_memory;
}

// 128+n may also be what a shell says of the program that it has run.
bool is_of_signal(unsigned code) {
    constexpr unsigned base = 128, last_plain_signal = 31;
    return code > base && code <= base + last_plain_signal;
}

// Of a signal that would end this process too.
bool may_be_of_a_stop(unsigned code) {
    return code == 128 + SIGTERM || code == 128 + SIGINT || code == 128 + SIGHUP || code == 128 + SIGQUIT;
}

} // namespace

struct program_run::state {
    state(worker& on, os::child_process asked_for)
        : child(std::move(asked_for)), output(on.context(), child.take_output().release()),
          reports(on.context(), child.reports()) {}
    ~state() { reports.release(); } // it belongs to `child`

    void stop_waiting() {
        stopped = true;
        output.cancel();
        reports.cancel();
    }

    os::child_process child;
    asio::posix::stream_descriptor output;
    asio::posix::stream_descriptor reports;
    bool stopped = false; // time is up, or interrupted
};

// Error: cannot be started; or operation_aborted, when the wait was stopped.
awaitable<base::result<os::program_report>> program_run::next_report(std::shared_ptr<state> of) {
    for (;;) {
        auto heard = of->child.hear();
        if (heard.has_error())
            co_return heard.error();
        if (*heard)
            co_return **heard;
        if (of->stopped)
            co_return base::error{asio::error::operation_aborted, "program"};
        co_await of->reports.async_wait(asio::posix::stream_descriptor::wait_read,
                                        asio::as_tuple(asio::use_awaitable));
    }
}

// Whether a program has been ended by what ends this process: both may have been sent the same signal, and
// either may be the first to notice.
awaitable<bool> program_run::goes_with_us(unsigned code, time_point deadline) const {
    if (!is_of_signal(code))
        co_return false;
    const time_point limit = std::min(std::chrono::steady_clock::now() + signals_apart, deadline);
    const activity& process = worker_.activity();
    while (may_be_of_a_stop(code) && !process.ending() && !interrupted_ &&
           std::chrono::steady_clock::now() < limit)
        co_await sleep_for(between_looks);
    co_return process.ending() || interrupted_;
}

// Ends what is left of a program that is of no interest any more. What still runs at the end is killed by
// letting it fall.
awaitable<void> program_run::see_off(worker& on, std::shared_ptr<state> going) {
    going->stopped = false;
    going->child.terminate();
    auto enough = [going] {
        going->stop_waiting();
    };
    alarm limit(on, std::chrono::steady_clock::now() + grace, std::move(enough));
    std::array<char, 4096> piece;
    boost::system::error_code over;
    while (!over && !going->stopped) {
        auto [failed, n] =
            co_await going->output.async_read_some(asio::buffer(piece), asio::as_tuple(asio::use_awaitable));
        over = failed;
    }
    if (over == asio::error::eof) {
        auto end = co_await next_report(going);
        (void)end; // how it ended does not matter any more
    }
}

// Gives it also when time is up or it is interrupted before it is known whether it runs.
awaitable<base::result<std::shared_ptr<program_run::state>>>
program_run::start_once(const os::start_request& asked, time_point deadline) {
    auto begun = starter_.start(asked);
    if (begun.has_error())
        co_return begun.error();
    auto now = std::make_shared<state>(worker_, std::move(*begun));
    running_ = now;
    auto time_is_up = [now] {
        now->stop_waiting();
    };
    alarm limit(worker_, deadline, std::move(time_is_up));
    auto report = co_await next_report(now);
    running_.reset();
    if (report.has_error() && !now->stopped)
        co_return report.error();
    co_return now;
}

// A program that cannot be had for want of descriptors or processes is waited for.
awaitable<base::result<std::shared_ptr<program_run::state>>>
program_run::start(const os::start_request& asked, time_point deadline) {
    auto started = co_await start_once(asked, deadline);
    while (started.has_error() && is_shortage(started.error().code) && !interrupted_ &&
           std::chrono::steady_clock::now() < deadline) {
        if (!wake_)
            wake_.emplace(worker_);
        co_await wake_->wait(std::chrono::steady_clock::now() + while_short);
        started = co_await start_once(asked, deadline);
    }
    co_return started;
}

awaitable<program_end> program_run::run(os::start_request asked, std::size_t kept, time_point deadline,
                                        base::logger log) {
    using how = program_end::how;
    program_end end;
    interrupted_ = false;
    auto started = co_await start(asked, deadline);
    if (started.has_error()) {
        bool in_turn = is_shortage(started.error().code);
        end.what = !in_turn ? how::not_started : interrupted_ ? how::interrupted : how::timed_out;
        end.error = started.error();
        co_return end;
    }
    std::shared_ptr<state> now = *started;
    running_ = now;
    auto time_is_up = [now] {
        now->stop_waiting();
    };
    alarm limit(worker_, deadline, std::move(time_is_up));

    std::array<char, 4096> piece;
    std::size_t printed = 0;
    while (!now->stopped && printed <= most_output) {
        auto [failed, n] =
            co_await now->output.async_read_some(asio::buffer(piece), asio::as_tuple(asio::use_awaitable));
        if (failed)
            break;
        printed += n;
        end.output.append(piece.data(), std::min(n, kept - end.output.size()));
    }
    if (!now->stopped && printed <= most_output) {
        auto last = co_await next_report(now);
        if (last.has_value()) {
            running_.reset();
            end.code = static_cast<unsigned>(last->value);
            now->child.let_go();
            bool interrupted = co_await goes_with_us(end.code, deadline);
            if (interrupted)
                end.what = how::interrupted;
            co_return end;
        }
    }
    running_.reset();
    end.what = printed > most_output ? how::too_much_output
               : interrupted_        ? how::interrupted
                                     : how::timed_out;
    spawn(worker_, see_off(worker_, now), log, "program");
    co_return end;
}

void program_run::interrupt() {
    interrupted_ = true;
    if (wake_)
        wake_->notify();
    if (running_)
        running_->stop_waiting();
}

} // namespace net
