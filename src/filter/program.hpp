// An external program as a filter (spec/filters-and-verifiers.md section 3).
#pragma once

#include "filter/filter.hpp"
#include "net/program.hpp"

#include <string>

namespace filter {

class program final : public filter {
public:
    // `directory`: the spool directory as the program is told it.
    program(std::string path, std::string directory, const services& with,
            const os::program_starter& starter);
    const std::string& name() const noexcept override { return name_; }
    net::awaitable<result> run(const job& now) override;
    void interrupt() override { process_.interrupt(); }

private:
    result judge(const job& now, const net::program_end& end) const;

    std::string path_;
    std::string directory_; // with a slash at its end
    std::string name_;      // its base name
    std::chrono::seconds timeout_;
    net::program_run process_;
};

} // namespace filter
