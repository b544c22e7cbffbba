// The commit: from a received message to files that will survive a power cut.
#pragma once

#include "spool/new_message.hpp"

#include <atomic>
#include <memory>
#include <string>

namespace spool {

// One object per commit; it lives until it has called its completion, exactly once.
class commit_message final : public journal_client, public std::enable_shared_from_this<commit_message> {
public:
    commit_message(std::unique_ptr<new_message::state> message, const mail::envelope& envelope,
                   store::completion done);

    void start();

private:
    enum class part { nothing, envelope_new, content, envelope };

    void read_back();
    void put();
    void written() override;
    void write_files_unflushed();
    void flushed(const base::result<void>& outcome) override;
    bool one_part_done(); // true for the last one
    void publish();
    void undo();
    void declined() override;
    void write_directly();

    base::result<void> write_files(bool flush);
    base::result<void> complete_content(bool flush);
    base::result<void> rename_envelope();
    void remove_files();
    bool take_next_name();
    void finish(const base::result<void>& outcome);
    template <class Step>
    void run_on(os::worker_pool& pool, Step step);

    core& core_;
    std::unique_ptr<new_message::state> message_;
    std::string envelope_;
    store::completion done_;
    bool content_was_begun_;           // its file was there before the commit
    bool content_is_complete_ = false; // and has everything that `held` has
    part made_ = part::nothing;
    int names_tried_ = 1;
    bool was_written_ = false;        // the record, to the journal
    std::atomic<int> parts_left_{-1}; // journalled messages: record and files; -1 for the others
    base::result<void> files_outcome_;
    base::result<void> flush_outcome_;
};

} // namespace spool
