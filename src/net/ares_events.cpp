#include "net/ares_events.hpp"

#include "net/worker.hpp"

#include <boost/asio/io_context.hpp>

namespace net {

namespace asio = boost::asio;

namespace {

struct library {
    library() { ares_library_init(ARES_LIB_INIT_ALL); }
    ~library() { ares_library_cleanup(); }
};

} // namespace

ares_events::ares_events(worker& on) : home_(on), timer_(on.context()) {}

ares_events::~ares_events() {
    close();
}

bool ares_events::open(ares_options options, int mask) {
    if (channel_)
        return true;
    static library loaded; // c-ares wants its own start-up once per process
    options.sock_state_cb = [](void* self, ares_socket_t fd, int readable, int writable) {
        static_cast<ares_events*>(self)->watch_descriptor(fd, readable != 0, writable != 0);
    };
    options.sock_state_cb_data = this;
    return ares_init_options(&channel_, &options, mask | ARES_OPT_SOCK_STATE_CB) == ARES_SUCCESS;
}

void ares_events::close() {
    if (channel_)
        ares_destroy(channel_);
    channel_ = nullptr;
}

void ares_events::watch_descriptor(int fd, bool readable, bool writable) {
    if (!readable && !writable) {
        // At once, although a handler may still hold it: the number is soon that of another socket.
        if (auto found = watched_.find(fd); found != watched_.end())
            found->second->end();
        watched_.erase(fd);
        return;
    }
    auto& w = watched_[fd];
    if (!w)
        w = std::make_shared<watch>(home_.context(), fd);
    w->want_read = readable;
    w->want_write = writable;
    wait(fd, w);
}

void ares_events::wait(int fd, const std::shared_ptr<watch>& w) {
    if (w->want_read && !w->reading) {
        w->reading = true;
        w->descriptor.async_wait(asio::posix::stream_descriptor::wait_read,
                                 [self = shared_from_this(), fd, weak = std::weak_ptr(w)](auto code) {
                                     if (auto present = weak.lock(); present && !code) {
                                         present->reading = false;
                                         self->process(fd, ARES_SOCKET_BAD);
                                     }
                                 });
    }
    if (w->want_write && !w->writing) {
        w->writing = true;
        w->descriptor.async_wait(asio::posix::stream_descriptor::wait_write,
                                 [self = shared_from_this(), fd, weak = std::weak_ptr(w)](auto code) {
                                     if (auto present = weak.lock(); present && !code) {
                                         present->writing = false;
                                         self->process(ARES_SOCKET_BAD, fd);
                                     }
                                 });
    }
}

void ares_events::process(ares_socket_t read, ares_socket_t write) {
    ares_process_fd(channel_, read, write);
    int fd = read != ARES_SOCKET_BAD ? read : write;
    if (auto found = watched_.find(fd); found != watched_.end()) {
        auto still = found->second;
        wait(fd, still);
    }
    tick();
}

// c-ares repeats lost queries when it is called after its timeout.
void ares_events::tick() {
    timeval soon{};
    timeval* next = ares_timeout(channel_, nullptr, &soon);
    if (!next)
        return;
    timer_.expires_after(std::chrono::seconds(next->tv_sec) + std::chrono::microseconds(next->tv_usec) +
                         std::chrono::milliseconds(1));
    timer_.async_wait([weak = weak_from_this()](auto code) {
        if (auto self = weak.lock(); self && !code) {
            ares_process_fd(self->channel_, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
            self->tick();
        }
    });
}

} // namespace net
