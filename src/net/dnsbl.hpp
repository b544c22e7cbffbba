// Block lists: whether a client may be served, by what lists in the DNS say of its address (spec/dnsbl.md,
// RFC 5782).
//
// A `dnsbl` belongs to one relay instance and is used on all its network threads; a `dnsbl_check` is about
// one client, on its thread.
#pragma once

#include "base/log.hpp"
#include "net/address.hpp"
#include "net/worker.hpp"

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace net {

struct dnsbl_settings {
    std::vector<std::string> lists; // domains
    unsigned threshold = 1;         // lists that must deny; 0: ask but never block
    std::chrono::milliseconds timeout{5000};
    bool deny_on_timeout = false;
    endpoint server{}; // of names; no address: the system's first
};

// "1.100.51.198.<list>", or the 32 reversed nibbles of an IPv6 address. Empty if `address` is no address.
std::string dnsbl_name(std::string_view address, std::string_view list);

// Who said what, and what follows: pure. Answers of lists are told by their number.
class dnsbl_decision {
public:
    dnsbl_decision(std::vector<std::string> lists, unsigned threshold, bool deny_on_timeout);

    void denied(std::size_t list, std::vector<std::string> addresses);
    void allowed(std::size_t list);
    void no_answer(std::size_t list); // nor will there be one
    void timed_out();

    enum class verdict { undecided, allow, block };
    verdict result() const;

    // When decided: what each list said (verbose), and why the client is refused or not all had a say
    // (warning).
    void log(const base::logger& to, std::string_view address) const;

private:
    enum class state { asked, denied, allowed, silent };
    struct answer {
        std::string list;
        state said = state::asked;
        std::vector<std::string> addresses{};
    };

    std::size_t count(state said) const;
    bool ran_out_of_time() const; // and the answers that are there do not decide
    std::string names_of(bool (*which)(state)) const;

    std::vector<answer> answers_;
    std::size_t threshold_;
    bool deny_on_timeout_;
    bool timed_out_ = false;
};

class dnsbl {
public:
    dnsbl(dnsbl_settings settings, base::logger log);

    // Switches checks off for a time, and on again. Any thread. New connections only.
    void stop(std::chrono::seconds time);
    void start();
    bool enabled() const;

    const dnsbl_settings& settings() const noexcept { return settings_; }

private:
    const dnsbl_settings settings_;
    const base::logger log_;
    std::atomic<std::chrono::steady_clock::time_point> off_until_{};
};

class dnsbl_check {
public:
    // The worker outlives the check. `log` is that of the client.
    dnsbl_check(const dnsbl& lists, worker& on, base::logger log);

    // Whether the client may be served; its address is written to the log with the reasons. After interrupt()
    // it is, at once.
    awaitable<bool> allows(endpoint client);
    void interrupt();

    // Whether any list was asked; not so for local clients, or while it is switched off.
    bool asked() const noexcept { return asked_; }

private:
    struct state;
    static void take(state& check, std::size_t list, const base::result<struct dns_answer>& answer);

    const dnsbl_settings& settings_;
    worker& worker_;
    base::logger log_;
    bool enabled_;
    bool asked_ = false;
    std::shared_ptr<state> state_; // shared with answers that come late
};

} // namespace net
