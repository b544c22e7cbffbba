// Messages put into the spool by a program that is no server: emailrelay-submit, sendmail.
//
// All happens on the caller's thread and without a journal: files and directory are flushed themselves before
// publish() says success. Several messages of one submission (a copy for each Bcc recipient) become visible
// together at the end. Whatever fails, and when it is destroyed unpublished, nothing is left of it.
#pragma once

#include "mail/envelope.hpp"
#include "spool/envelope_copies.hpp"
#include "spool/folder.hpp"
#include "spool/id_source.hpp"

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace spool {

class submission {
public:
    // They outlive the submission.
    submission(folder& dir, id_source& ids) : dir_(dir), ids_(ids) {}
    ~submission();
    submission(const submission&) = delete;
    submission& operator=(const submission&) = delete;

    // The messages one after the other: begin, its content, end.
    base::result<void> begin();
    base::result<void> append(std::span<const char> bytes);
    // The first message's content from there on; its end() must have been reached.
    base::result<void> append_from_first(std::uint64_t offset);
    base::result<void> end(const mail::envelope& envelope);

    // After this the messages are visible and will survive a power cut.
    base::result<void> publish();
    // The same with the envelopes in all sub-directories in place of the spool directory.
    base::result<void> publish_in_sub_directories();

    std::vector<std::string> ids() const; // of the messages that were begun

private:
    struct message {
        std::string id;
        std::string envelope{};
        bool ended = false;
        bool visible = false;
    };

    std::string content_name(const message& m) const;
    void remove(const message& m);
    template <class Publish>
    base::result<void> publish_each(Publish publish_one);

    folder& dir_;
    id_source& ids_;
    std::vector<message> messages_;
    os::file content_; // of the last message
    bool published_ = false;
};

} // namespace spool
