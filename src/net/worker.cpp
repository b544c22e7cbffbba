#include "net/worker.hpp"

#include "net/activity.hpp"
#include "net/dns_client.hpp"
#include "net/resolver.hpp"
#include "os/thread_name.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <exception>
#include <new>
#include <thread>
#include <utility>

namespace net {

namespace asio = boost::asio;

// At the end the context goes before the buffers: it destroys suspended frames, which may still give buffers
// back. The DNS clients go before the context, which their timers and descriptors belong to.
struct worker::impl {
    impl(std::shared_ptr<net::activity> a, std::size_t n) : all(std::move(a)), index(n) {}

    std::shared_ptr<net::activity> all; // what connections count themselves in
    std::size_t index;
    buffer_pool buffers;
    asio::io_context context{1};
    asio::executor_work_guard<asio::io_context::executor_type> work{context.get_executor()};
    std::unique_ptr<resolver> names;
    std::unique_ptr<dns_client> name_servers;
};

worker::worker() : worker(std::make_shared<net::activity>()) {}
worker::worker(std::shared_ptr<net::activity> all, std::size_t index)
    : impl_(std::make_unique<impl>(std::move(all), index)) {}
worker::~worker() = default;

std::size_t worker::index() const noexcept {
    return impl_->index;
}

asio::io_context& worker::context() noexcept {
    return impl_->context;
}

asio::any_io_executor worker::executor() noexcept {
    return impl_->context.get_executor();
}

buffer_pool& worker::buffers() noexcept {
    return impl_->buffers;
}

resolver& worker::names() noexcept {
    if (!impl_->names)
        impl_->names = std::make_unique<resolver>(*this);
    return *impl_->names;
}

activity& worker::activity() noexcept {
    return *impl_->all;
}

dns_client& worker::name_servers() noexcept {
    if (!impl_->name_servers)
        impl_->name_servers = std::make_unique<dns_client>(*this);
    return *impl_->name_servers;
}

void worker::post(std::function<void()> job) {
    asio::post(impl_->context, std::move(job));
}

// What escapes from a handler when memory has run out comes out here: with the handler the session that it
// was of is over, which gives memory back. The others go on.
void worker::run() {
    for (;;) {
        try {
            impl_->context.run();
            return;
        } catch (const std::bad_alloc&) {
            continue;
        }
    }
}

void worker::stop() {
    impl_->context.stop();
}

struct worker_group::impl {
    std::vector<std::unique_ptr<worker>> workers;
    std::vector<std::thread> threads;
    std::size_t next = 0;
    std::shared_ptr<net::activity> activity = std::make_shared<net::activity>();
};

worker_group::worker_group(std::size_t threads) : impl_(std::make_unique<impl>()) {
    for (std::size_t i = 0; i < threads; ++i)
        impl_->workers.push_back(std::make_unique<worker>(impl_->activity, i));
}

worker_group::~worker_group() {
    stop();
}

std::size_t worker_group::size() const noexcept {
    return impl_->workers.size();
}

worker& worker_group::operator[](std::size_t i) noexcept {
    return *impl_->workers[i];
}

worker& worker_group::next() noexcept {
    impl_->next = (impl_->next + 1) % impl_->workers.size();
    return *impl_->workers[impl_->next];
}

activity& worker_group::activity() noexcept {
    return *impl_->activity;
}

void worker_group::start() {
    for (std::size_t i = 1; i < impl_->workers.size(); ++i)
        impl_->threads.emplace_back([w = impl_->workers[i].get(), i] {
            os::name_thread("net" + std::to_string(i));
            w->run();
        });
}

void worker_group::stop() {
    for (auto& w : impl_->workers)
        w->stop();
    for (auto& thread : impl_->threads)
        if (thread.joinable())
            thread.join();
}

void spawn(worker& on, awaitable<void> what, base::logger log, const char* name) {
    auto ended = [log = std::move(log), name](const std::exception_ptr& escaped) {
        if (!escaped)
            return;
        try {
            std::rethrow_exception(escaped);
        } catch (const std::exception& e) {
            log.error("{}: {}", name, e.what());
        }
    };
    asio::co_spawn(on.context(), std::move(what), std::move(ended));
}

awaitable<void> sleep_for(std::chrono::milliseconds time) {
    auto executor = co_await asio::this_coro::executor;
    asio::steady_timer timer(executor, time);
    co_await timer.async_wait(asio::as_tuple(asio::use_awaitable));
}

awaitable<void> give_way() {
    auto executor = co_await asio::this_coro::executor;
    co_await asio::post(executor, asio::use_awaitable);
}

struct alarm::impl {
    impl(asio::io_context& context, std::function<void()> what) : timer(context), ring(std::move(what)) {}
    asio::steady_timer timer;
    std::function<void()> ring; // empty once it must not be called any more
};

alarm::alarm(worker& on, time_point when, std::function<void()> ring)
    : impl_(std::make_shared<impl>(on.context(), std::move(ring))) {
    if (when == time_point::max())
        return;
    impl_->timer.expires_at(when);
    impl_->timer.async_wait([self = impl_](const boost::system::error_code& stopped) {
        if (!stopped && self->ring)
            std::exchange(self->ring, nullptr)();
    });
}

alarm::~alarm() {
    impl_->ring = nullptr;
    impl_->timer.cancel();
}

struct event::impl {
    explicit impl(asio::io_context& context) : timer(context) {}
    asio::steady_timer timer;
    bool notified = false;
};

event::event(worker& on) : impl_(std::make_shared<impl>(on.context())) {}
event::~event() = default;

void event::notify() {
    impl_->notified = true;
    impl_->timer.cancel();
}

awaitable<void> event::wait(time_point until) {
    auto self = impl_;
    if (!self->notified) {
        self->timer.expires_at(until);
        co_await self->timer.async_wait(asio::as_tuple(asio::use_awaitable));
    }
    self->notified = false;
}

} // namespace net
