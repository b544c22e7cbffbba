// The filters that do nothing with the message: `exit:<n>`, which acts like a program with that exit code,
// and `sleepms:<n>`, which takes its time and says ok.
#pragma once

#include "filter/filter.hpp"

#include <chrono>
#include <string>

namespace filter {

class fixed_exit final : public filter {
public:
    explicit fixed_exit(unsigned code);
    const std::string& name() const noexcept override { return name_; }
    net::awaitable<result> run(const job& now) override;

private:
    unsigned code_;
    std::string name_;
};

class pause final : public filter {
public:
    pause(std::chrono::milliseconds time, const services& with);
    const std::string& name() const noexcept override { return name_; }
    net::awaitable<result> run(const job& now) override;
    void interrupt() override { wake_.notify(); }

private:
    std::chrono::milliseconds time_;
    std::string name_;
    net::event wake_;
};

} // namespace filter
