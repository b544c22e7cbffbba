// What the built-in filters that only work on files have in common: one job for a disk thread.
#pragma once

#include "filter/filter.hpp"

#include <string>

namespace filter {

class blocking_filter : public filter {
public:
    const std::string& name() const noexcept override { return name_; }
    net::awaitable<result> run(const job& now) override;

protected:
    blocking_filter(std::string name, const services& with)
        : store_(with.store), work_(with.work), name_(std::move(name)) {}

    // [blocks] On a disk thread. An error is logged and becomes `452 failed`.
    virtual base::result<result> work_on(const job& now) = 0;

    spool::store& store_;

private:
    net::background& work_;
    std::string name_;
};

} // namespace filter
