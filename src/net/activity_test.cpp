#include "net/activity.hpp"

#include "net/network_test.hpp"

#include <gmock/gmock.h>

#include <thread>

using testing::ElementsAre;
using testing::IsEmpty;

namespace net {
namespace {

const endpoint here{"127.0.0.1", 25, false, false};
const endpoint there{"127.0.0.9", 4711, false, false};

TEST(activity_of_a_process, counts_and_lists_connections) {
    activity all;
    auto listening = all.listening(here);
    auto in = all.incoming(here, there);
    auto out = all.outgoing();
    EXPECT_THAT(all.now().listening, ElementsAre("127.0.0.1:25"));
    EXPECT_THAT(all.now().out, IsEmpty()) << "not connected yet";
    out.opened(there, here);
    auto now = all.now();
    ASSERT_EQ(now.in.size(), 1U);
    EXPECT_EQ(now.in[0].local + " <- " + now.in[0].peer, "127.0.0.1:25 <- 127.0.0.9:4711");
    ASSERT_EQ(now.out.size(), 1U);
    EXPECT_EQ(now.out[0].local + " -> " + now.out[0].peer, "127.0.0.9:4711 -> 127.0.0.1:25");
    activity::part moved = std::move(in);
    EXPECT_EQ(all.now().in_finished, 0U);
    moved.end();
    moved.end();
    out = {};
    listening.end();
    now = all.now();
    EXPECT_EQ(now.in_started, 1U);
    EXPECT_EQ(now.in_finished, 1U);
    EXPECT_EQ(now.out_started, 1U);
    EXPECT_EQ(now.out_finished, 1U);
    EXPECT_TRUE(now.in.empty() && now.out.empty() && now.listening.empty());
}

// What one reader sees of what happens on its own thread.
struct reading {
    explicit reading(event_bus& bus) : subscription(bus.subscribe(on, [this] { ++woken; })) {}
    event_bus::taken take() {
        on.post([this] { on.stop(); });
        on.run();
        return subscription.take();
    }
    worker on;
    int woken = 0;
    event_bus::subscription subscription;
};

TEST(event_bus, readers_get_all_events_in_order) {
    event_bus bus;
    EXPECT_FALSE(bus.has_readers());
    bus.publish({"before"});
    reading one(bus), other(bus);
    EXPECT_TRUE(bus.has_readers());
    bus.publish({"client", "forward", "end", ""});
    bus.publish({"client", "sent", "m0", "bad   sender\n\x01"});
    EXPECT_THAT(one.take().events,
                ElementsAre("client: forward: end", "client: sent: m0: bad sender\\n\\x01"));
    EXPECT_EQ(one.woken, 1) << "once for both";
    EXPECT_EQ(other.take().events.size(), 2U);
    other.subscription = {};
    EXPECT_TRUE(bus.has_readers());
    one.subscription = {};
    EXPECT_FALSE(bus.has_readers());
}

TEST(event_bus, a_slow_reader_loses_the_oldest) {
    event_bus bus;
    reading slow(bus);
    for (std::size_t i = 0; i < event_bus::most_waiting + 5; ++i)
        bus.publish({std::to_string(i)});
    auto taken = slow.take();
    EXPECT_EQ(taken.lost, 5U);
    ASSERT_EQ(taken.events.size(), event_bus::most_waiting);
    EXPECT_EQ(taken.events.front(), "5");
    EXPECT_THAT(slow.subscription.take().events, IsEmpty());
}

TEST(event_bus, a_reader_that_has_ended_is_not_woken) {
    event_bus bus;
    worker on;
    int woken = 0;
    auto subscription = bus.subscribe(on, [&] { ++woken; });
    bus.publish({"x"}); // the wake-up is on its way
    subscription = {};
    on.post([&] { on.stop(); });
    on.run();
    EXPECT_EQ(woken, 0);
}

TEST(event_bus, many_threads_publish) {
    event_bus bus;
    reading one(bus);
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t)
        threads.emplace_back([&bus] {
            for (int i = 0; i < 200; ++i)
                bus.publish({"a", "b"});
        });
    for (auto& thread : threads)
        thread.join();
    EXPECT_EQ(one.take().events.size(), 800U);
}

} // namespace
} // namespace net
