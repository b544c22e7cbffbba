// A message whose two files stand in the spool, complete and not yet accepted: `<id>.content` and
// `<id>.envelope.new`. What is in the files when it is committed is the message (spec/spool.md section 2,
// design.md section 4).
#pragma once

#include "spool/core.hpp"
#include "spool/journal.hpp"

#include <atomic>
#include <memory>
#include <string>

namespace spool {

struct staged_message::state {
    state(std::shared_ptr<core> c, std::string name) : owner(std::move(c)), id(std::move(name)) {}

    void remove_files();
    // For messages that are committed together, store::commit_at_once().
    base::result<void> flush_files();
    base::result<void> publish();
    void withdraw(); // after a failure; what no forwarder has taken is to be removed

    std::shared_ptr<core> owner;
    std::string id;
    bool committed = false;
};

// One object per commit; it lives until it has called its completion, exactly once.
class commit_staged final : public journal_client, public std::enable_shared_from_this<commit_staged> {
public:
    commit_staged(std::unique_ptr<staged_message::state> message, store::must_be_there which,
                  store::completion done);

    void start();

private:
    struct part {
        os::file file; // open if the file is there
        std::uint64_t size = 0;
    };

    void look();
    base::result<part> open(std::string_view suffix);
    base::result<void> read(std::uint64_t limit);
    base::result<void> check_envelope(const std::string& text) const;
    void put();
    void flushed(const base::result<void>& outcome) override;
    void publish();
    void undo();
    void declined() override;
    void flush_directly();
    void leave_content();
    void finish(const base::result<void>& outcome);
    template <class Step>
    void run_on(os::worker_pool& pool, Step step);

    core& core_;
    std::unique_ptr<staged_message::state> message_;
    store::must_be_there which_;
    store::completion done_;
    part envelope_file_;
    part content_file_;
    std::string envelope_; // as read back
    std::string content_;
    bool journalled_ = false;
    base::result<void> outcome_;
};

} // namespace spool
