// What stands between the end of a message's data and its 250 when there is a --filter
// (spec/filters-and-verifiers.md sections 1 and 2): the files are written, the filters run on them, and what
// they have left is committed.
//
// One for each SMTP session; lives on its worker.
#pragma once

#include "filter/chain.hpp"
#include "relay/blocking.hpp"
#include "relay/filter_settings.hpp"
#include "smtp/server_engine.hpp"
#include "spool/store.hpp"

#include <optional>
#include <string>

namespace relay {

class server_filters {
public:
    // All outlive it.
    server_filters(const filter_settings& settings, spool::store& store, blocking& work, net::worker& on,
                   const base::logger& log);
    ~server_filters();
    server_filters(const server_filters&) = delete;
    server_filters& operator=(const server_filters&) = delete;

    enum class verdict { accepted, abandoned, refused };

    // Writes the files and runs the filters. Unless it is refused the message is kept here for commit(), or
    // until it is discarded. `session` outlives the call.
    net::awaitable<verdict> run(spool::new_message message, mail::envelope envelope,
                                const filter::session_facts& session);
    bool wants_rescan() const noexcept { return rescan_; }
    const smtp::commit_outcome& refusal() const noexcept { return refusal_; }

    // What is in the files becomes durable, and the message visible; its id, or why not.
    net::awaitable<base::result<std::string>> commit();
    void discard();

    void interrupt();

private:
    net::awaitable<void> remove();
    verdict judge(const filter::result& found, const base::logger& log);

    spool::store& store_;
    blocking& work_;
    const base::logger& log_;
    filter::chain chain_;
    std::optional<spool::staged_message> staged_;
    bool abandoned_ = false;
    bool rescan_ = false;
    smtp::commit_outcome refusal_;
};

} // namespace relay
