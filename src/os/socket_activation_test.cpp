#include "os/socket_activation.hpp"

#include <gtest/gtest.h>

#include <fcntl.h>
#include <unistd.h>

#include <cstdlib>
#include <string>
#include <vector>

// Each case runs in a process of its own: the descriptors are fixed numbers.

namespace {

void announce(const std::string& pid, const std::string& count) {
    ::setenv("LISTEN_PID", pid.c_str(), 1);
    ::setenv("LISTEN_FDS", count.c_str(), 1);
    ::setenv("LISTEN_FDNAMES", "a:b", 1);
}

std::string own_pid() {
    return std::to_string(::getpid());
}

bool variables_are_gone() {
    return !std::getenv("LISTEN_PID") && !std::getenv("LISTEN_FDS") && !std::getenv("LISTEN_FDNAMES");
}

[[noreturn]] void end(bool good) {
    ::_exit(good ? 0 : 1);
}

void expect_none(const std::string& pid, const std::string& count) {
    announce(pid, count);
    auto taken = os::take_activation_sockets();
    end(taken.has_value() && taken->empty() && variables_are_gone());
}

} // namespace

TEST(socket_activation, descriptors_from_3_on) {
    auto take = [] {
        for (int fd : {3, 4})
            ::dup2(STDIN_FILENO, fd);
        announce(own_pid(), "2");
        auto taken = os::take_activation_sockets();
        bool closed_on_exec = ::fcntl(3, F_GETFD) == FD_CLOEXEC && ::fcntl(4, F_GETFD) == FD_CLOEXEC;
        end(taken.has_value() && *taken == std::vector{3, 4} && closed_on_exec && variables_are_gone());
    };
    EXPECT_EXIT(take(), testing::ExitedWithCode(0), "");
}

TEST(socket_activation, only_once) {
    auto take = [] {
        ::dup2(STDIN_FILENO, 3);
        announce(own_pid(), "1");
        auto first = os::take_activation_sockets();
        auto second = os::take_activation_sockets();
        end(first.value().size() == 1 && second.value().empty());
    };
    EXPECT_EXIT(take(), testing::ExitedWithCode(0), "");
}

TEST(socket_activation, nothing_that_is_for_another_process_or_makes_no_sense) {
    EXPECT_EXIT(expect_none("1", "1"), testing::ExitedWithCode(0), "");
    EXPECT_EXIT(expect_none("", "1"), testing::ExitedWithCode(0), "");
    for (const char* count : {"", "0", "-1", "x", "1x", "99999", "18446744073709551616"})
        EXPECT_EXIT(expect_none(own_pid(), count), testing::ExitedWithCode(0), "") << count;
}

TEST(socket_activation, a_descriptor_that_is_not_open_is_an_error) {
    auto take = [] {
        ::close(3);
        announce(own_pid(), "1");
        auto taken = os::take_activation_sockets();
        end(taken.has_error() && taken.error().message() == "socket activation: fd 3: bad file descriptor" &&
            variables_are_gone());
    };
    EXPECT_EXIT(take(), testing::ExitedWithCode(0), "");
}
