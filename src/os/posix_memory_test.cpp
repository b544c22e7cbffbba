#include "os/memory.hpp"

#include <gtest/gtest.h>

#include <new>
#include <thread>

namespace {

// What operator new calls when there is no memory.
void memory_runs_out() {
    std::get_new_handler()();
}

class memory_reserve : public testing::Test {
protected:
    void SetUp() override {
        before_ = std::get_new_handler();
        os::keep_memory_in_reserve();
    }
    void TearDown() override {
        EXPECT_FALSE(os::memory_is_short());
        std::set_new_handler(before_);
    }

private:
    std::new_handler before_ = nullptr;
};

TEST_F(memory_reserve, is_given_once_and_then_kept_again) {
    EXPECT_FALSE(os::memory_is_short());
    os::allocations_may_fail here;
    EXPECT_NO_THROW(memory_runs_out());
    EXPECT_THROW(memory_runs_out(), std::bad_alloc);
    EXPECT_FALSE(os::memory_is_short()); // there is enough
    EXPECT_NO_THROW(memory_runs_out());
}

TEST_F(memory_reserve, failing_ends_with_its_scope) {
    memory_runs_out();
    {
        os::allocations_may_fail outer;
        { os::allocations_may_fail inner; }
        EXPECT_THROW(memory_runs_out(), std::bad_alloc);
    }
    EXPECT_NO_THROW(memory_runs_out()); // the caller tries again
}

TEST_F(memory_reserve, one_thread_may_fail_and_another_waits) {
    memory_runs_out();
    os::allocations_may_fail here;
    std::thread other([] { EXPECT_NO_THROW(memory_runs_out()); });
    EXPECT_THROW(memory_runs_out(), std::bad_alloc);
    other.join();
}

} // namespace
