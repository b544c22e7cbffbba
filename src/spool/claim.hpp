// The inside of a message taken for forwarding, and what becomes of it.
#pragma once

#include "spool/core.hpp"

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace spool {

struct claimed_message::state {
    state(std::shared_ptr<core> c, std::string name) : owner(std::move(c)), id(std::move(name)) {}

    base::result<void> claim();
    base::result<void> reload();
    base::result<void> finish();
    base::result<void> release();
    void ignore(const base::error& why);
    base::result<void> fail(std::string_view reason, std::optional<int> code);
    base::result<void> fail_partly(const std::vector<std::string>& refused, std::string_view reason,
                                   std::optional<int> code);

    std::shared_ptr<core> owner;
    std::string id;
    mail::envelope envelope;
    std::uint64_t number = 0; // of this claim, in the journal
    os::file lock;            // the envelope, locked for as long as it is open
    os::file content;
    os::file_status envelope_status; // as last read
    os::file_status content_status;
    std::uint64_t read_so_far = 0;

private:
    base::result<void> lock_envelope();
    base::result<void> read_files();
    void take_content(opened_content opened);
    base::error ignored(const base::error& why, bool locked);
    base::result<void> not_locked();
    base::result<void> append_reason(std::string_view reason, std::optional<int> code);
    base::result<void> rewrite(const std::vector<std::string>& refused, std::string_view reason,
                               std::optional<int> code);
    base::result<void> rename_to_bad();
    base::result<void> rename_from_busy(std::string_view suffix);
    base::result<void> flush_changes(const os::file_status& envelope_now, const opened_content* body);
    void close_claim();

    bool busy_ = false; // the envelope has that name, by our doing
};

} // namespace spool
