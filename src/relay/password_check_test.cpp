// Answers that come, come late, or never; and an end that waits for nobody.
#include "relay/password_check.hpp"

#include "net/worker.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <string>
#include <vector>

namespace {

using namespace std::chrono_literals;

class lines : public base::log_sink {
public:
    bool wants(base::severity, base::detail) const noexcept override { return true; }
    void write(base::severity, const base::log_context&, std::string_view text) override {
        all.emplace_back(text);
    }
    std::vector<std::string> all;
};

// A module that hangs until it is let go.
struct gate {
    void pass() {
        std::unique_lock lock(mutex);
        changed.wait(lock, [this] { return open; });
    }
    void release() {
        std::lock_guard lock(mutex);
        open = true;
        changed.notify_all();
    }
    std::mutex mutex;
    std::condition_variable changed;
    bool open = false;
};

struct asker {
    net::worker worker;
    net::event wake{worker};
    lines log;
    std::optional<sasl::verdict> verdict;
    bool answered = false;

    void ask(relay::password_check& by, const std::string& password) {
        net::spawn(worker, one(by, password), base::logger(log), "test");
    }

    net::awaitable<void> one(relay::password_check& by, std::string password) {
        sasl::ask_password asked{"alice", base::secret_text(password)};
        verdict = co_await by.check(worker, wake, std::move(asked), base::logger(log));
        answered = true;
        worker.stop();
    }
};

base::result<void> only_right(const std::string&, std::string_view password) {
    if (password == "right")
        return {};
    return base::error{{}, "pam_authenticate: 7: Authentication failure"};
}

TEST(password_check, says_what_it_is_told) {
    asker good, bad; // threads are there until the check ends
    relay::password_check by(only_right, 2);
    good.ask(by, "right");
    good.worker.run();
    ASSERT_TRUE(good.verdict);
    EXPECT_TRUE(good.verdict->success);
    bad.ask(by, "wrong");
    bad.worker.run();
    ASSERT_TRUE(bad.verdict);
    EXPECT_FALSE(bad.verdict->success);
    EXPECT_EQ(bad.log.all,
              std::vector<std::string>{"pam error: pam_authenticate: 7: Authentication failure"});
}

TEST(password_check, no_answer_in_time_is_neither) {
    auto hang = std::make_shared<gate>();
    asker one;
    {
        relay::password_check by(
            [hang](const std::string&, std::string_view) {
                hang->pass();
                return base::result<void>();
            },
            1, 20ms);
        one.ask(by, "right");
        one.worker.run();
        EXPECT_TRUE(one.answered);
        EXPECT_FALSE(one.verdict);
        EXPECT_EQ(one.log.all, std::vector<std::string>{"pam error: no answer"});
    } // does not wait for the module
    hang->release();
}

TEST(password_check, ends_early_when_woken) {
    auto hang = std::make_shared<gate>();
    asker one;
    relay::password_check by(
        [hang](const std::string&, std::string_view) {
            hang->pass();
            return base::result<void>();
        },
        1, 1h);
    one.ask(by, "right");
    one.worker.post([&one] { one.wake.notify(); });
    one.worker.run();
    EXPECT_FALSE(one.verdict);
    hang->release();
}

} // namespace
