// `spam:` and `spam-edit:`: SpamAssassin's spamd is given the content (spec/filters-and-verifiers.md section
// 5).
//
// One connection for each message. The content goes and comes in pieces, never whole in memory.
#pragma once

#include "filter/filter.hpp"
#include "filter/message_files.hpp"
#include "filter/spamd_reply.hpp"
#include "filter/temporary_file.hpp"
#include "net/helper_connection.hpp"

#include <string>

namespace filter {

class spamd final : public filter {
public:
    // `edits`: the content becomes what spamd returns, and nothing is refused.
    spamd(net::target server, bool edits, const services& with);
    const std::string& name() const noexcept override { return name_; }
    net::awaitable<result> run(const job& now) override;
    void interrupt() override { connection_.interrupt(); }

private:
    net::awaitable<base::result<void>> send_content(const message_files& message);
    net::awaitable<base::result<void>> receive(spamd_reply& reply, temporary_file& returned);

    net::background& work_;
    spool::store& store_;
    bool edits_;
    std::string name_;
    net::helper_connection connection_;
};

} // namespace filter
