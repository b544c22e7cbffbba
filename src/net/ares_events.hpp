// A c-ares channel on a worker's event loop; for the files of this folder that ask name servers.
//
// c-ares says which descriptors it wants watched; they are watched through Asio. Callbacks of queries come on
// the worker's thread, when the channel is closed those of open queries at once with ARES_EDESTRUCTION.
#pragma once

#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>

#include <ares.h>

#include <map>
#include <memory>

namespace net {

class worker;

class ares_events : public std::enable_shared_from_this<ares_events> { // shared with handlers
public:
    explicit ares_events(worker& on);
    ~ares_events();

    // `mask` says what of `options` is set, as for ares_init_options(). Does nothing if it is open already.
    bool open(ares_options options, int mask);
    void close();
    ares_channel channel() const noexcept { return channel_; }

    // After each new query: c-ares repeats or gives up lost ones only when called after its time-out.
    void tick();

private:
    struct watch {
        explicit watch(boost::asio::io_context& context, int fd) : descriptor(context, fd) {}
        ~watch() { end(); }
        void end() { descriptor.release(); } // c-ares owns and closes it
        boost::asio::posix::stream_descriptor descriptor;
        bool want_read = false, want_write = false;
        bool reading = false, writing = false;
    };

    void watch_descriptor(int fd, bool readable, bool writable);
    void wait(int fd, const std::shared_ptr<watch>& w);
    void process(ares_socket_t read, ares_socket_t write);

    worker& home_;
    boost::asio::steady_timer timer_;
    ares_channel channel_ = nullptr;
    std::map<int, std::shared_ptr<watch>> watched_;
};

} // namespace net
