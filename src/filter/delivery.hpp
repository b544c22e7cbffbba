// Copies of a message in other directories: mailboxes, as pairs of files or as maildirs (spec/spool.md
// section 8). All of it blocks.
//
// A copy is complete and flushed before its last name appears, and the directory is flushed then: what was
// delivered survives a power cut. A name that is taken is never overwritten.
#pragma once

#include "filter/message_files.hpp"
#include "mail/envelope.hpp"

#include <string>
#include <string_view>

namespace filter {

struct delivery_options {
    bool hard_link = false;     // of the content; copied where that cannot be done
    bool envelope_only = false; // the content stays where it is; a maildir gets it all the same
};

class delivery {
public:
    delivery(spool::store& store, const message_files& message, const std::string& id, delivery_options how)
        : store_(store), message_(message), id_(id), how_(how) {}

    // Into sub-directory `name` of `parent`, which is there.
    base::result<void> into(const os::file& parent, const std::string& name);

private:
    base::result<void> into_maildir(const os::file& mailbox);
    base::result<void> into_folder(const os::file& mailbox);
    base::result<void> put_content(const os::file& mailbox, const std::string& name, bool link);
    base::result<void> copy_content(const os::file& mailbox, const std::string& name);
    base::result<void> put_envelope(const os::file& mailbox, const std::string& id);
    base::result<void> flush(const os::file& file);
    os::filesystem& files() const { return message_.directory().files(); }

    spool::store& store_;
    const message_files& message_;
    const std::string& id_;
    delivery_options how_;
};

// One path component that can be no other file's name in a spool.
bool is_mailbox_name(std::string_view name) noexcept;

} // namespace filter
