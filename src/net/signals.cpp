#include "net/signals.hpp"

#include "net/worker.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>

namespace net {

struct signal_watch::impl : std::enable_shared_from_this<signal_watch::impl> {
    impl(worker& on, std::function<void(int)> h) : set(on.context()), handler(std::move(h)) {}

    void wait() {
        set.async_wait([weak = weak_from_this()](const boost::system::error_code& code, int signal) {
            auto self = weak.lock();
            if (!self || code)
                return;
            self->handler(signal);
            self->wait();
        });
    }

    boost::asio::signal_set set;
    std::function<void(int)> handler;
};

signal_watch::signal_watch(worker& on, const std::vector<int>& signals, std::function<void(int)> handler)
    : impl_(std::make_shared<impl>(on, std::move(handler))) {
    for (int signal : signals)
        impl_->set.add(signal);
    impl_->wait();
}

signal_watch::~signal_watch() = default;

} // namespace net
