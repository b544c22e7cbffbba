// Answers that come, come late, or never: from processes as they are, with a function in PAM's place.
#include "relay/password_check.hpp"

#include "net/worker.hpp"
#include "os/program_starter.hpp"

#include <gtest/gtest.h>

#include <signal.h>
#include <unistd.h>

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

// Stands for PAM: what it does depends on the password.
std::string module(const std::vector<char*>& words) {
    const std::string password = words[2];
    if (password == "hang")
        ::pause();
    if (password == "crash")
        ::raise(SIGKILL);
    if (password == "exit")
        ::_exit(0);
    if (password == "right")
        return "+";
    return std::string("-") + words[0] + " " + words[1] + " from " + words[3];
}

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
        verdict = co_await by.check(worker, wake, std::move(asked),
                                    base::logger(log).with_peer("192.0.2.1", "4711"));
        answered = true;
        worker.stop();
    }
};

struct password_check : testing::Test {
    password_check() { EXPECT_TRUE(pam.begin("process for PAM", "test-pam", module, 8)); }
    os::program_starter pam;
};

TEST_F(password_check, says_what_it_is_told) {
    relay::password_check by(pam);
    asker good, bad, unfit;
    good.ask(by, "right");
    good.worker.run();
    ASSERT_TRUE(good.verdict);
    EXPECT_TRUE(good.verdict->success);
    bad.ask(by, "wrong");
    bad.worker.run();
    ASSERT_TRUE(bad.verdict);
    EXPECT_FALSE(bad.verdict->success);
    EXPECT_EQ(bad.log.all, std::vector<std::string>{"pam error: emailrelay alice from 192.0.2.1"});
    unfit.ask(by, std::string("right\0", 6));
    unfit.worker.run();
    ASSERT_TRUE(unfit.verdict);
    EXPECT_FALSE(unfit.verdict->success);
    EXPECT_EQ(unfit.log.all, std::vector<std::string>{"pam error: user name or password not fit for PAM"});
}

TEST_F(password_check, no_answer_in_time_is_neither) {
    relay::password_check by(pam, 20ms);
    asker one;
    one.ask(by, "hang");
    one.worker.run();
    EXPECT_TRUE(one.answered);
    EXPECT_FALSE(one.verdict);
    EXPECT_EQ(one.log.all, std::vector<std::string>{"pam error: no answer"});
}

TEST_F(password_check, ends_early_when_woken) {
    relay::password_check by(pam, 1h);
    asker one;
    one.ask(by, "hang");
    one.worker.post([&one] { one.wake.notify(); });
    one.worker.run();
    EXPECT_FALSE(one.verdict);
}

TEST_F(password_check, a_module_that_ends_its_process_says_neither) {
    relay::password_check by(pam);
    asker crashed, ended;
    crashed.ask(by, "crash");
    crashed.worker.run();
    EXPECT_FALSE(crashed.verdict);
    EXPECT_EQ(crashed.log.all, std::vector<std::string>{"pam error: a module was ended by signal 9"});
    ended.ask(by, "exit");
    ended.worker.run();
    EXPECT_FALSE(ended.verdict);
    EXPECT_EQ(ended.log.all,
              std::vector<std::string>{"pam error: a module ended the process with exit code 0"});
}

} // namespace
