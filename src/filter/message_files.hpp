// A message's two files as filters read and edit them. All of it blocks.
//
// Edits are not flushed here: what a server filter leaves is made durable when the message is committed, what
// a client filter leaves when the message is read again (spool/staged_message.cpp, spool/claim.cpp). A file
// is never edited in place: it may be linked with other messages.
#pragma once

#include "filter/filter.hpp"
#include "mail/envelope.hpp"
#include "spool/folder.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace filter {

class message_files {
public:
    message_files(spool::store& store, const job& now);

    spool::folder& directory() const noexcept { return directory_; }
    const std::string& content_name() const noexcept { return content_; } // within the directory
    const std::string& envelope_name() const noexcept { return envelope_; }

    base::result<mail::parsed_envelope> read_envelope() const;
    // Written beside and renamed: at no time is there half an envelope. `extra`: the lines behind End.
    base::result<void> write_envelope(const mail::envelope& text,
                                      const std::vector<std::string>& extra) const;

    base::result<spool::opened_content> open_content() const;
    // Puts `written`, which was made under the name of the content with `suffix`, in the place of the
    // content.
    base::result<void> replace_content(std::string_view suffix, os::file written) const;

    // Both files go, envelope first; missing is as good.
    base::result<void> remove_envelope() const;
    base::result<void> remove_content() const;

private:
    spool::folder& directory_;
    std::string content_;
    std::string envelope_;
};

} // namespace filter
