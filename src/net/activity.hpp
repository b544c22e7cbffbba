// What goes on in the network of this process: listening addresses, open connections, counts since the start
// (spec/admin.md section 3), and word of it for those who listen (section 4).
//
// One for all workers, see worker::activity(). Thread-safe. Two short locks a connection; events cost one
// atomic read while nobody listens.
#pragma once

#include "net/address.hpp"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace net {

class worker;

// Event lines for any number of readers, each with its own bounded queue: a slow one loses its oldest.
class event_bus {
public:
    static constexpr std::size_t most_waiting = 1000;

    class reader;
    struct taken {
        std::vector<std::string> events;
        std::size_t lost = 0; // before these
    };

    // Used, and ended by destroying it, on the worker's thread.
    class subscription {
    public:
        subscription() = default;
        explicit subscription(std::shared_ptr<reader> r);
        subscription(subscription&&) noexcept;
        subscription& operator=(subscription&&) noexcept;
        ~subscription();
        explicit operator bool() const noexcept { return reader_ != nullptr; }
        taken take();

    private:
        void end() noexcept;
        std::shared_ptr<reader> reader_; // shared with a publish() that is going on
    };

    bool has_readers() const noexcept { return readers_count_.load(std::memory_order_relaxed) != 0; }

    // "a: b: c", of the parts that are not empty.
    void publish(std::initializer_list<std::string_view> parts);

    // `wake` is called on the worker's thread when there is something to take, and never after the end.
    subscription subscribe(worker& on, std::function<void()> wake);

private:
    std::atomic<std::size_t> readers_count_{0};
    std::mutex mutex_;
    std::vector<std::weak_ptr<reader>> readers_;
};

class activity {
    struct record {
        enum class kind { listening, incoming, outgoing };
        kind what;
        const endpoint* local = nullptr;
        const endpoint* peer = nullptr; // both null until there is a connection
    };
    using records = std::list<record>;

public:
    // One listening address or one connection, for as long as this lives. The endpoints outlive it.
    class part {
    public:
        part() = default;
        part(part&& other) noexcept : owner_(std::exchange(other.owner_, nullptr)), place_(other.place_) {}
        part& operator=(part&& other) noexcept {
            end();
            owner_ = std::exchange(other.owner_, nullptr);
            place_ = other.place_;
            return *this;
        }
        ~part() { end(); }
        void end() noexcept;

        explicit operator bool() const noexcept { return owner_ != nullptr; }
        void opened(const endpoint& local, const endpoint& peer); // of outgoing()

    private:
        friend class activity;
        part(activity& owner, records::iterator place) : owner_(&owner), place_(place) {}
        activity* owner_ = nullptr;
        records::iterator place_;
    };

    [[nodiscard]] part listening(const endpoint& where);
    [[nodiscard]] part incoming(const endpoint& local, const endpoint& peer);
    [[nodiscard]] part outgoing(); // a connection that is about to be made

    struct connection {
        std::string local, peer; // as displayed
    };
    struct state {
        std::vector<std::string> listening;
        std::uint64_t in_started = 0, in_finished = 0, out_started = 0, out_finished = 0;
        std::vector<connection> in, out; // open now
    };
    state now() const;

    event_bus events;

    // The process is about to end. What ends other processes too (a service manager, a shutdown of the
    // system) may have ended those that work for this one.
    void announce_end() noexcept { ending_ = true; }
    bool ending() const noexcept { return ending_; }

private:
    part add(record r);
    void remove(records::iterator place);

    std::atomic<bool> ending_{false};
    mutable std::mutex mutex_;
    records records_;
    std::uint64_t in_started_ = 0, in_finished_ = 0, out_started_ = 0, out_finished_ = 0;
};

} // namespace net
