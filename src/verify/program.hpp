// An external program as address verifier (spec/filters-and-verifiers.md section 7).
#pragma once

#include "net/program.hpp"
#include "verify/verifier.hpp"

#include <string>

namespace verify {

class program final : public verifier {
public:
    program(std::string path, const services& with, const os::program_starter& starter);
    net::awaitable<verdict> check(request asked) override;
    void interrupt() override { process_.interrupt(); }

private:
    verdict judge(const request& asked, const net::program_end& end) const;

    std::string path_;
    std::chrono::seconds timeout_;
    net::program_run process_;
};

// `exit:<n>`: as a program that ends with that code at once and prints nothing.
class fixed_exit final : public verifier {
public:
    explicit fixed_exit(unsigned code) : code_(code) {}
    net::awaitable<verdict> check(request asked) override;

private:
    unsigned code_;
};

} // namespace verify
