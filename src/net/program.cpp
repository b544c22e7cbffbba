#include "net/program.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <algorithm>
#include <array>
#include <utility>

namespace net {

namespace asio = boost::asio;

namespace {

constexpr std::size_t most_output = 64 * 1024; // design.md section 7
constexpr std::chrono::seconds grace{3};       // between SIGTERM and SIGKILL
constexpr std::chrono::milliseconds while_short{100};

// Of something that comes back when others have ended.
bool is_shortage(const base::error_code& code) {
    namespace errc = boost::system::errc;
    return code == errc::too_many_files_open || code == errc::too_many_files_open_in_system ||
           code == errc::resource_unavailable_try_again || code == errc::not_enough_memory;
}

} // namespace

struct program_run::state {
    state(worker& on, os::child_process started)
        : child(std::move(started)), output(on.context(), child.take_output().release()),
          exit(on.context(), child.take_exit().release()) {}

    void stop_waiting() {
        output.cancel();
        exit.cancel();
    }

    os::child_process child;
    asio::posix::stream_descriptor output;
    asio::posix::stream_descriptor exit;
    bool stopped = false; // time is up, or interrupted
};

// Ends what is left of a program that is of no interest any more. Its first process is reaped last: until
// then the number of the group is not given to another one.
awaitable<void> program_run::see_off(worker& on, std::shared_ptr<state> going) {
    going->child.signal_group(os::child_process::severity::terminate);
    {
        auto enough = [going] {
            going->stop_waiting();
        };
        alarm limit(on, std::chrono::steady_clock::now() + grace, std::move(enough));
        std::array<char, 4096> piece;
        boost::system::error_code over;
        while (!over) {
            auto [failed, n] = co_await going->output.async_read_some(asio::buffer(piece),
                                                                      asio::as_tuple(asio::use_awaitable));
            over = failed;
        }
        if (over == asio::error::eof)
            co_await going->exit.async_wait(asio::posix::stream_descriptor::wait_read,
                                            asio::as_tuple(asio::use_awaitable));
    }
    going->child.signal_group(os::child_process::severity::kill);
    co_await going->exit.async_wait(asio::posix::stream_descriptor::wait_read,
                                    asio::as_tuple(asio::use_awaitable));
    going->child.reap();
}

// A program that cannot be had for want of descriptors or processes is waited for.
awaitable<base::result<os::child_process>>
program_run::start(const std::string& path, const std::vector<std::string>& arguments, time_point deadline) {
    auto begin = [&path, &arguments] {
        return os::child_process::start(path, arguments);
    };
    auto started = co_await work_.run(begin);
    while (started.has_error() && is_shortage(started.error().code) && !interrupted_ &&
           std::chrono::steady_clock::now() < deadline) {
        if (!wake_)
            wake_.emplace(worker_);
        co_await wake_->wait(std::chrono::steady_clock::now() + while_short);
        started = co_await work_.run(begin);
    }
    co_return started;
}

awaitable<program_end> program_run::run(std::string path, std::vector<std::string> arguments,
                                        std::size_t kept, time_point deadline, base::logger log) {
    using how = program_end::how;
    program_end end;
    interrupted_ = false;
    auto started = co_await start(path, arguments, deadline);
    if (started.has_error()) {
        bool in_turn = is_shortage(started.error().code);
        end.what = !in_turn ? how::not_started : interrupted_ ? how::interrupted : how::timed_out;
        end.error = started.error();
        co_return end;
    }
    auto now = std::make_shared<state>(worker_, std::move(*started));
    running_ = now;
    bool late = false;
    auto time_is_up = [now, &late] {
        late = now->stopped = true;
        now->stop_waiting();
    };
    alarm limit(worker_, deadline, std::move(time_is_up));
    now->stopped = interrupted_;

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
    if (!now->stopped && printed <= most_output)
        co_await now->exit.async_wait(asio::posix::stream_descriptor::wait_read,
                                      asio::as_tuple(asio::use_awaitable));
    running_.reset();
    if (!now->stopped && printed <= most_output) {
        end.code = now->child.reap();
        co_return end;
    }
    end.what = late ? how::timed_out : interrupted_ ? how::interrupted : how::too_much_output;
    spawn(worker_, see_off(worker_, now), log, "program");
    co_return end;
}

void program_run::interrupt() {
    interrupted_ = true;
    if (wake_)
        wake_->notify();
    if (!running_)
        return;
    running_->stopped = true;
    running_->stop_waiting();
}

} // namespace net
