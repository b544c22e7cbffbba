// The interfaces are made up, their addresses are of 127.0.0.0/8, which can all be bound; 192.0.2.1 is not
// this machine's.
#include "net/interface_listeners.hpp"

#include "net/network_test.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

using net::is_interface_name;
using net::is_of_interface;
using testing::ElementsAre;
using testing::IsEmpty;

TEST(interface_names, what_is_neither_address_nor_path_nor_descriptor) {
    for (const char* name :
         {"eth0", "eth0-ipv4", "lo-ipv6", "eth0:1", "wlp2s0.5", "1.2.3", "mail.example.com", "e"})
        EXPECT_TRUE(is_interface_name(name)) << name;
    for (const char* other :
         {"127.0.0.1", "0.0.0.0", "::", "::1", "[::1]", "fe80::1", "/run/socket", "foo/bar", "fd#3", "fd#x"})
        EXPECT_FALSE(is_interface_name(other)) << other;
}

TEST(interface_names, whose_addresses_they_stand_for) {
    const os::interface_address four{"eth0", "192.0.2.1", false};
    const os::interface_address six{"eth0", "2001:db8::1", true};
    const os::interface_address alias{"eth0:1", "192.0.2.2", false};
    for (const os::interface_address& any : {four, six, alias})
        EXPECT_TRUE(is_of_interface("eth0", any)) << any.address;
    EXPECT_TRUE(is_of_interface("eth0-ipv4", four));
    EXPECT_TRUE(is_of_interface("eth0-ipv4", alias));
    EXPECT_FALSE(is_of_interface("eth0-ipv4", six));
    EXPECT_TRUE(is_of_interface("eth0-ipv6", six));
    EXPECT_FALSE(is_of_interface("eth0-ipv6", four));
    EXPECT_TRUE(is_of_interface("eth0:1", alias));
    EXPECT_FALSE(is_of_interface("eth0:1", four));
    for (const char* other : {"eth", "eth00", "eth01", "Eth0", "lo", "eth0-ipv5", ""})
        EXPECT_FALSE(is_of_interface(other, four)) << other;
}

namespace {

class interfaces : public testing::Test {
protected:
    void name(std::vector<std::string> names, std::uint16_t port = 0) {
        auto source = [this] {
            return base::result<std::vector<os::interface_address>>(now);
        };
        subject = std::make_unique<net::interface_listeners>(on, std::move(names), port, log, source);
    }

    std::vector<std::string> open(const std::vector<net::listener>& others = {}) {
        auto opened = subject->open(others);
        if (opened.has_error())
            return {opened.error().message()};
        std::vector<std::string> out;
        for (net::listener& l : *opened) {
            out.push_back(l.local().address);
            held.push_back(std::move(l));
        }
        return out;
    }

    void follow() {
        subject->follow(
            [this](net::listener l) {
                events.push_back("+" + l.local().address);
                held.push_back(std::move(l));
            },
            [this](const net::endpoint& where) {
                events.push_back("-" + where.address);
                auto is_there = [&](const net::listener& l) {
                    return l.local() == where;
                };
                EXPECT_EQ(std::erase_if(held, is_there), 1U);
            });
    }

    std::vector<std::string> update() {
        events.clear();
        subject->update();
        return events;
    }

    net::lines_kept kept;
    base::logger log{kept};
    net::worker on;
    std::vector<os::interface_address> now;
    std::unique_ptr<net::interface_listeners> subject;
    std::vector<net::listener> held;
    std::vector<std::string> events;
};

const os::interface_address first{"eth0", "127.0.0.11", false};
const os::interface_address second{"eth0", "127.0.0.12", false};
const os::interface_address other{"eth1", "127.0.0.13", false};
const os::interface_address not_yet{"eth0", "192.0.2.1", false};

} // namespace

TEST_F(interfaces, all_addresses_of_the_named_ones_are_listened_on) {
    now = {first, second, other, {"eth0", "::1", true}};
    name({"eth0"});
    EXPECT_THAT(open(), ElementsAre("127.0.0.11", "127.0.0.12", "::1"));
    name({"eth0-ipv6", "eth1"});
    EXPECT_THAT(open(), ElementsAre("127.0.0.13", "::1"));
    EXPECT_THAT(kept.lines, IsEmpty());
}

TEST_F(interfaces, an_address_named_twice_is_bound_once) {
    now = {first, other};
    name({"eth0", "eth0-ipv4", "eth1"});
    std::vector<net::listener> others;
    others.push_back(net::listener::open(on, other.address, 0).value());
    EXPECT_THAT(open(others), ElementsAre("127.0.0.11"));
    follow();
    EXPECT_THAT(update(), IsEmpty());
}

TEST_F(interfaces, names_without_addresses_get_a_warning) {
    now = {first};
    name({"eth0", "eth7", "eth0-ipv6"});
    EXPECT_THAT(open(), ElementsAre("127.0.0.11"));
    EXPECT_THAT(kept.lines, ElementsAre("no addresses bound to named network interface \"eth7\"",
                                        "no addresses bound to named network interface \"eth0-ipv6\""));
}

TEST_F(interfaces, an_address_in_use_is_an_error_at_start) {
    now = {first};
    net::listener there = net::listener::open(on, first.address, 0).value();
    name({"eth0"}, there.local().port);
    EXPECT_THAT(open(), ElementsAre("socket bind error: address already in use"));
}

TEST_F(interfaces, an_address_that_is_not_usable_yet_is_not) {
    now = {first, not_yet};
    name({"eth0"});
    EXPECT_THAT(open(), ElementsAre("127.0.0.11"));
    follow();
    EXPECT_THAT(update(), IsEmpty());
    EXPECT_THAT(kept.lines, IsEmpty());
}

TEST_F(interfaces, addresses_come_and_go) {
    now = {first};
    name({"eth0"});
    open();
    follow();
    EXPECT_THAT(update(), IsEmpty());
    now = {first, second, other};
    EXPECT_THAT(update(), ElementsAre("+127.0.0.12"));
    now = {first};
    EXPECT_THAT(update(), ElementsAre("-127.0.0.12")) << "one that came at run time goes as well";
    now = {};
    EXPECT_THAT(update(), ElementsAre("-127.0.0.11"));
    now = {second, first};
    EXPECT_THAT(update(), ElementsAre("+127.0.0.11", "+127.0.0.12"));
    EXPECT_THAT(kept.lines, IsEmpty());
}

TEST_F(interfaces, what_came_between_the_opening_and_the_following_is_not_missed) {
    now = {first};
    name({"eth0"});
    open();
    now = {second};
    follow();
    EXPECT_THAT(events, ElementsAre("-127.0.0.11", "+127.0.0.12"));
}

TEST_F(interfaces, an_address_that_cannot_be_bound_later_gets_one_warning_and_further_trials) {
    std::vector<net::listener> there;
    there.push_back(net::listener::open(on, first.address, 0).value());
    name({"eth0"}, there.front().local().port);
    EXPECT_THAT(open(), IsEmpty());
    kept.lines.clear();
    follow();
    now = {first};
    EXPECT_THAT(update(), IsEmpty());
    EXPECT_THAT(update(), IsEmpty());
    EXPECT_THAT(kept.lines,
                ElementsAre("cannot listen on 127.0.0.11: socket bind error: address already in use"));
    there.clear();
    EXPECT_THAT(update(), ElementsAre("+127.0.0.11"));
    EXPECT_THAT(kept.lines, testing::SizeIs(1));
}

TEST_F(interfaces, nothing_happens_after_the_stop) {
    name({"eth0"});
    open();
    follow();
    subject->stop();
    now = {first};
    EXPECT_THAT(update(), IsEmpty());
}

TEST_F(interfaces, when_the_addresses_cannot_be_read_all_stays_as_it_is) {
    bool broken = false;
    auto source = [&]() -> base::result<std::vector<os::interface_address>> {
        if (broken)
            return base::make_error(EMFILE, "cannot read");
        return now;
    };
    now = {first};
    subject =
        std::make_unique<net::interface_listeners>(on, std::vector<std::string>{"eth0"}, 0, log, source);
    open();
    follow();
    broken = true;
    EXPECT_THAT(update(), IsEmpty());
    EXPECT_THAT(kept.lines, ElementsAre("cannot read: too many open files"));
}

TEST(interface_addresses, loopback_has_its_own) {
    auto all = os::interface_addresses();
    ASSERT_TRUE(all.has_value());
    EXPECT_THAT(*all, testing::Contains(os::interface_address{"lo", "127.0.0.1", false}));
}
