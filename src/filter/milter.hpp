// `milter:`: mail filters as they are made for Sendmail and Postfix (milter protocol, version 6).
//
// The milter hears of the whole session when the message is complete, over a connection of its own for each
// message. Its changes go into the two files before the message is committed, so they are as durable as it
// is. A recipient that it refuses is a message refused: its submitter has been promised all of them.
//
//   accept, continue   ok, with the changes         discard      files removed, abandon (250)
//   reject, tempfail   fail with its reply          quarantine   kept as `.bad` with the reason, abandon
//   (250)
#pragma once

#include "filter/filter.hpp"
#include "filter/message_files.hpp"
#include "filter/milter_engine.hpp"
#include "filter/temporary_file.hpp"
#include "net/helper_connection.hpp"

#include <string>

namespace filter {

class milter final : public filter {
public:
    // `shown`: the address as configured, for the log.
    milter(net::target server, const std::string& shown, const services& with);
    const std::string& name() const noexcept override { return name_; }
    net::awaitable<result> run(const job& now) override;
    void interrupt() override { connection_.interrupt(); }

private:
    struct message; // in hand

    base::result<void> load(const job& now, message& into);
    net::awaitable<base::result<milter_outcome>> converse(message& about);
    net::awaitable<base::result<void>> supply_body(message& about, milter_engine& engine);
    net::awaitable<base::result<void>> keep_new_body(message& about, std::string bytes);
    base::result<result> settle(const job& now, message& about, const milter_outcome& said);
    base::result<void> edit_content(message& about, const milter_outcome& said);
    base::result<bool> edit_envelope(message& about, const milter_outcome& said);
    base::result<result> quarantine(const job& now, message& about, const std::string& reason);

    net::background& work_;
    spool::store& store_;
    std::chrono::seconds timeout_;
    std::string name_;
    net::helper_connection connection_;
};

} // namespace filter
